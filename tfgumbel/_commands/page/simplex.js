/* Samples on the simplex: a canvas, for there are many. */

/** Corners in a box: a segment, a triangle, a polygon with K corners. */
function corners(classes, width, height) {
  const middle = { x: width / 2, y: height / 2 };
  if (classes === 2) {
    return [
      { x: 34, y: height - 44 },
      { x: width - 34, y: height - 44 },
    ];
  }
  if (classes === 3) {
    const side = Math.min(width - 50, (height - 44) / Math.sin(Math.PI / 3));
    const base = middle.y + (side * Math.sin(Math.PI / 3)) / 2;
    return [
      { x: middle.x - side / 2, y: base },
      { x: middle.x, y: base - side * Math.sin(Math.PI / 3) },
      { x: middle.x + side / 2, y: base },
    ];
  }
  const radius = Math.min(width, height) / 2 - 22;
  return Array.from({ length: classes }, (_, k) => {
    const angle = (2 * Math.PI * k) / classes - Math.PI / 2;
    return {
      x: middle.x + radius * Math.cos(angle),
      y: middle.y + radius * Math.sin(angle),
    };
  });
}

/** Where Σ_k y_k · corner_k lies. */
function place(sample, points) {
  return {
    x: dot(
      sample,
      points.map((point) => point.x),
    ),
    y: dot(
      sample,
      points.map((point) => point.y),
    ),
  };
}

/** The weights of a point of the triangle; negative outside. */
function barycentric(x, y, [a, b, c]) {
  const area = (b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y);
  const second = ((x - a.x) * (c.y - a.y) - (c.x - a.x) * (y - a.y)) / area;
  const third = ((b.x - a.x) * (y - a.y) - (x - a.x) * (b.y - a.y)) / area;
  return [1 - second - third, second, third];
}

/** Shades the triangle by the density p: p / (p + that of even weights). */
function drawDensity(context, points, logits, temperature, colour) {
  const cell = 3;
  const [left, top] = [points[0].x, points[1].y];
  context.fillStyle = colour;
  for (let x = left + cell / 2; x < points[2].x; x += cell) {
    for (let y = top + cell / 2; y < points[0].y; y += cell) {
      const weights = barycentric(x, y, points);
      if (Math.min(...weights) <= 0) continue;
      const relative =
        concreteLogProb(weights, logits, temperature) - Math.log(2);
      context.globalAlpha = 0.4 / (1 + Math.exp(-relative));
      context.fillRect(x - cell / 2, y - cell / 2, cell, cell);
    }
  }
  context.globalAlpha = 1;
}

/** The density of y_2 above the segment from class 1 to class 2. */
function drawCurve(context, points, logits, temperature, colour) {
  const [start, end] = points;
  const densities = [];
  for (let x = start.x + 1; x < end.x; x += 2) {
    const second = (x - start.x) / (end.x - start.x);
    const weights = [1 - second, second];
    densities.push([
      x,
      Math.exp(concreteLogProb(weights, logits, temperature)),
    ]);
  }
  const highest = Math.min(8, Math.max(2, ...densities.map(([, p]) => p)));
  const room = start.y - 34;
  context.beginPath();
  context.moveTo(start.x, start.y - 14);
  for (const [x, p] of densities) {
    context.lineTo(x, start.y - 14 - room * Math.min(1.05, p / highest));
  }
  context.lineTo(end.x, end.y - 14);
  context.fillStyle = colour;
  context.globalAlpha = 0.25;
  context.fill();
  context.globalAlpha = 1;
}

function drawOutline(context, points, colour, ink) {
  context.strokeStyle = colour;
  context.beginPath();
  for (const { x, y } of points) context.lineTo(x, y);
  context.closePath();
  context.stroke();
  const x = sum(points.map((point) => point.x)) / points.length;
  const y = sum(points.map((point) => point.y)) / points.length;
  context.fillStyle = ink;
  context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  points.forEach((point, k) => {
    const length = Math.hypot(point.x - x, point.y - y);
    const away = 13 / length;
    context.fillText(
      String(k + 1),
      point.x + (point.x - x) * away,
      point.y + (point.y - y) * away,
    );
  });
}

/** Draws everything; colours are {classes, quiet, rule}. */
function drawSimplex(canvas, samples, logits, temperature, colours) {
  const { clientWidth: width, clientHeight: height } = canvas.parentElement;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const classes = logits.length;
  const points = corners(classes, width, height);
  const density = { 2: drawCurve, 3: drawDensity }[classes];
  density?.(context, points, logits, temperature, colours.quiet);
  drawOutline(context, points, colours.rule, colours.quiet);
  const spread = classes === 2 ? 16 : 0;
  samples.forEach((sample, n) => {
    const { x, y } = place(sample, points);
    // Along a segment, points are set apart by their number.
    const lift = spread * (((n * 0.618) % 1) - 0.5);
    context.fillStyle = colours.classes[argmax(sample)];
    context.globalAlpha = 0.7;
    context.beginPath();
    context.arc(x, y + lift, 2.1, 0, 2 * Math.PI);
    context.fill();
  });
  context.globalAlpha = 1;
}
