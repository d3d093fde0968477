/** The markers, drawn here. The ground is dark in both themes: on it the four colours stay apart for every eye. */
import type { Map as LibreMap } from 'maplibre-gl';
import { HEXAGON, SHAPES } from '../lib/shapes';
import { rankOf } from '../lib/severity';
import { SEVERITIES, type Severity } from '../lib/wire';

/** Drawn twice as large as shown, for sharp screens. */
const SCALE = 2;
const GROUND = '#16191d';
const RIM = '#f2f4f6';
/** Help that is there is nothing wrong: grey. */
const READY = '#b4bac1';
const COLOURS: Record<Severity, string> = { critical: '#e94356', high: '#f5a700', medium: '#ffffb2', low: '#2f8aed' };

export function addImages(map: LibreMap): void {
  for (const severity of SEVERITIES) {
    const rank = rankOf(severity);
    map.addImage(`device-${rank}`, disc(severity, 20, 11, 1), { pixelRatio: SCALE });
    map.addImage(`event-${rank}`, disc(severity, 32, 18, 2), { pixelRatio: SCALE });
    map.addImage(`cluster-${rank}`, pill(severity), { pixelRatio: SCALE, ...PILL_TEXT });
  }
  map.addImage('resource', hexagon(), { pixelRatio: SCALE });
}

const PILL = { width: 44, height: 22, shape: 12, from: 20, to: 36 };
/** Only the middle is stretched, by as much as the text needs. */
const PILL_TEXT = {
  stretchX: [[PILL.from * SCALE, PILL.to * SCALE]] as [number, number][],
  stretchY: [[10 * SCALE, 12 * SCALE]] as [number, number][],
  content: [PILL.from * SCALE, 4 * SCALE, PILL.to * SCALE, (PILL.height - 4) * SCALE] as [number, number, number, number],
};

function disc(severity: Severity, size: number, shape: number, rim: number): ImageData {
  return drawn(size, size, (context) => {
    context.beginPath();
    context.arc(size / 2, size / 2, size / 2 - rim, 0, 2 * Math.PI);
    ground(context, rim);
    shapeOf(context, severity, (size - shape) / 2, (size - shape) / 2, shape);
  });
}

function pill(severity: Severity): ImageData {
  return drawn(PILL.width, PILL.height, (context) => {
    context.beginPath();
    context.roundRect(1, 1, PILL.width - 2, PILL.height - 2, PILL.height / 2 - 1);
    ground(context, 1);
    shapeOf(context, severity, 5, (PILL.height - PILL.shape) / 2, PILL.shape);
  });
}

function hexagon(): ImageData {
  return drawn(20, 20, (context) => {
    context.translate(1, 1);
    context.scale(18 / 16, 18 / 16);
    const path = new Path2D(HEXAGON);
    context.fillStyle = READY;
    context.strokeStyle = GROUND;
    context.lineWidth = 1.8;
    context.fill(path);
    context.stroke(path);
  });
}

function ground(context: CanvasRenderingContext2D, rim: number): void {
  context.fillStyle = GROUND;
  context.strokeStyle = RIM;
  context.lineWidth = rim;
  context.fill();
  context.stroke();
}

function shapeOf(context: CanvasRenderingContext2D, severity: Severity, x: number, y: number, size: number): void {
  context.save();
  context.translate(x, y);
  context.scale(size / 16, size / 16);
  const path = new Path2D(SHAPES[severity]);
  context.fillStyle = context.strokeStyle = COLOURS[severity];
  context.lineWidth = 2.6;
  // Hollow, so that it is told from the others without its colour.
  if (severity === 'low') context.stroke(path);
  else context.fill(path);
  context.restore();
}

function drawn(width: number, height: number, draw: (context: CanvasRenderingContext2D) => void): ImageData {
  const canvas = document.createElement('canvas');
  canvas.width = width * SCALE;
  canvas.height = height * SCALE;
  const context = canvas.getContext('2d')!;
  context.scale(SCALE, SCALE);
  draw(context);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}
