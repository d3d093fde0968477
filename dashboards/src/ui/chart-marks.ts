/** Alarms on a chart: a vertical line where one fired, with the shape of its severity on the tested dark ground. */
import type uPlot from 'uplot';
import { rankOf } from '../lib/severity';
import type { Severity } from '../lib/wire';

export interface ChartMark {
  atMs: number;
  severity: Severity;
}

const SIZE_PX = 7;

export function drawMarks(plot: uPlot, marks: ChartMark[], colour: (name: string) => string): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  // Where several fired at about one time the worst is the one that is seen.
  for (const mark of [...marks].sort((a, b) => rankOf(a.severity) - rankOf(b.severity))) {
    const x = plot.valToPos(mark.atMs, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    const y = bbox.top + (SIZE_PX + 3) * ratio;
    ctx.strokeStyle = colour('--line-strong');
    ctx.lineWidth = ratio;
    ctx.setLineDash([4 * ratio, 3 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.fillStyle = colour('--severity-ground');
    ctx.beginPath();
    ctx.arc(x, y, (SIZE_PX + 3) * ratio, 0, 2 * Math.PI);
    ctx.fill();
    drawShape(ctx, mark.severity, x, y, SIZE_PX * ratio, colour(`--${mark.severity}`));
  }
  ctx.restore();
}

/** Corners on the unit circle; `low` is a ring. */
const CORNERS: Record<Exclude<Severity, 'low'>, [number, number][]> = {
  critical: [[0, -1], [1, 0], [0, 1], [-1, 0]],
  high: [[0, -0.9], [0.9, 0.7], [-0.9, 0.7]],
  medium: [[-0.7, -0.7], [0.7, -0.7], [0.7, 0.7], [-0.7, 0.7]],
}; // prettier-ignore

function drawShape(ctx: CanvasRenderingContext2D, severity: Severity, x: number, y: number, size: number, ink: string): void {
  ctx.beginPath();
  if (severity === 'low') {
    ctx.arc(x, y, size * 0.65, 0, 2 * Math.PI);
    ctx.strokeStyle = ink;
    ctx.lineWidth = size * 0.35;
    ctx.stroke();
    return;
  }
  for (const [dx, dy] of CORNERS[severity]) ctx.lineTo(x + dx * size, y + dy * size);
  ctx.closePath();
  ctx.fillStyle = ink;
  ctx.fill();
}
