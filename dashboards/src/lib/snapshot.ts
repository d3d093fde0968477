/** All devices in columns, as the server tells them, and as places on a map. Pure. */
import type { Feature, Point } from 'geojson';
import { NORMAL } from './severity';

export type Position = [lon: number, lat: number];

/** `k` and `a` are indices into `kinds` and `areas`; all columns are of one length. */
export interface DeviceSnapshot {
  version: number;
  kinds: string[];
  areas: string[];
  id: string[];
  k: number[];
  a: number[];
  lon: (number | null)[];
  lat: (number | null)[];
  name: string[];
}

export interface DevicePlace {
  id: string;
  kind: string;
  name: string;
  /** Rank of the worst open severity, 0 for none; the clusters take their maximum. */
  s: number;
}

export function deviceFeature(place: DevicePlace, position: Position): Feature<Point, DevicePlace> {
  return { type: 'Feature', geometry: { type: 'Point', coordinates: position }, properties: place };
}

/** Devices with a place, of the kinds that are shown. */
export function deviceFeatures(
  snapshot: DeviceSnapshot,
  ranks: ReadonlyMap<string, number>,
  hidden: ReadonlySet<string>,
): Feature<Point, DevicePlace>[] {
  const features: Feature<Point, DevicePlace>[] = [];
  snapshot.id.forEach((id, i) => {
    const kind = snapshot.kinds[snapshot.k[i]!] ?? '';
    const position = positionAt(snapshot, i);
    if (position === null || hidden.has(kind)) return;
    features.push(deviceFeature({ id, kind, name: snapshot.name[i] ?? '', s: ranks.get(id) ?? NORMAL }, position));
  });
  return features;
}

export function positionsOf(snapshot: DeviceSnapshot): ReadonlyMap<string, Position> {
  const positions = new Map<string, Position>();
  snapshot.id.forEach((id, i) => {
    const position = positionAt(snapshot, i);
    if (position !== null) positions.set(id, position);
  });
  return positions;
}

/** How many devices lie directly in each area, placed on the map or not. */
export function devicesPerArea(snapshot: DeviceSnapshot): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const index of snapshot.a) {
    const code = snapshot.areas[index] ?? '';
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  return counts;
}

function positionAt(snapshot: DeviceSnapshot, i: number): Position | null {
  const lon = snapshot.lon[i] ?? null;
  const lat = snapshot.lat[i] ?? null;
  return lon === null || lat === null ? null : [lon, lat];
}
