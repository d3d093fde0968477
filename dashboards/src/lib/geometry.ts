/** Bounds and label points of polygons, in degrees; small enough areas that the earth is flat. Pure. */
import type { FeatureCollection, MultiPolygon, Polygon } from 'geojson';
import type { Position } from './snapshot';

export interface AreaProperties {
  code: string;
  name: string;
  name_en: string;
  level: string;
  parent: string | null;
}

export type AreaShape = Polygon | MultiPolygon;
export type AreaGeometry = FeatureCollection<AreaShape, AreaProperties>;
export type Bounds = [west: number, south: number, east: number, north: number];

type Ring = number[][];

/** The box around all positions; `null` without any. */
export function boundsOf(positions: Iterable<readonly number[]>): Bounds | null {
  const bounds: Bounds = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [lon, lat] of positions) {
    if (lon === undefined || lat === undefined) continue;
    bounds[0] = Math.min(bounds[0], lon);
    bounds[1] = Math.min(bounds[1], lat);
    bounds[2] = Math.max(bounds[2], lon);
    bounds[3] = Math.max(bounds[3], lat);
  }
  return bounds[0] > bounds[2] ? null : bounds;
}

export function outlineOf(shape: AreaShape): Ring {
  return outerRings(shape).flat();
}

/** A point inside the largest part: its centre of gravity or, where that lies outside, the widest place beside it. */
export function labelPoint(shape: AreaShape): Position | null {
  const rings = outerRings(shape).filter((ring) => ring.length >= 4);
  const [first, ...others] = rings;
  if (!first) return null;
  const largest = others.reduce((a, b) => (Math.abs(centroid(a).area) >= Math.abs(centroid(b).area) ? a : b), first);
  const { lon, lat } = centroid(largest);
  const crossings = crossingsAt(largest, lat);
  let widest: [number, number] | null = null;
  for (let i = 0; i + 1 < crossings.length; i += 2) {
    const [west, east] = [crossings[i]!, crossings[i + 1]!];
    if (west <= lon && lon <= east) return [lon, lat];
    if (widest === null || east - west > widest[1] - widest[0]) widest = [west, east];
  }
  return widest === null ? [lon, lat] : [(widest[0] + widest[1]) / 2, lat];
}

function outerRings(shape: AreaShape): Ring[] {
  const polygons = shape.type === 'Polygon' ? [shape.coordinates] : shape.coordinates;
  return polygons.map((rings) => rings[0] ?? []);
}

/** The shoelace formula, relative to the first corner so that small areas keep their digits. */
function centroid(ring: Ring): { lon: number; lat: number; area: number } {
  const [lon0 = 0, lat0 = 0] = ring[0] ?? [];
  let [area, lonSum, latSum] = [0, 0, 0];
  for (let i = 0; i + 1 < ring.length; i += 1) {
    const [x1, y1] = [ring[i]![0]! - lon0, ring[i]![1]! - lat0];
    const [x2, y2] = [ring[i + 1]![0]! - lon0, ring[i + 1]![1]! - lat0];
    const cross = x1 * y2 - x2 * y1;
    area += cross / 2;
    lonSum += (x1 + x2) * cross;
    latSum += (y1 + y2) * cross;
  }
  if (area === 0) return { lon: lon0, lat: lat0, area: 0 };
  return { lon: lon0 + lonSum / (6 * area), lat: lat0 + latSum / (6 * area), area };
}

/** Where the outline crosses a parallel, from west to east: always in pairs. */
function crossingsAt(ring: Ring, lat: number): number[] {
  const crossings: number[] = [];
  for (let i = 0; i + 1 < ring.length; i += 1) {
    const [x1, y1] = ring[i] as [number, number];
    const [x2, y2] = ring[i + 1] as [number, number];
    if (y1 > lat !== y2 > lat) crossings.push(x1 + ((lat - y1) / (y2 - y1)) * (x2 - x1));
  }
  return crossings.sort((a, b) => a - b);
}
