/** Open events as places on the map, and what changed of them. Pure. */
import type { Feature, Point } from 'geojson';
import { rankOf } from './severity';
import type { Position } from './snapshot';
import type { GridEvent } from './wire';

export interface EventPlace {
  id: string;
  rank: number;
  unacknowledged: boolean;
  title: string;
}

export type EventFeature = Feature<Point, EventPlace>;

/** `positionOf` tells where an event is, `null` if nobody knows: such events are on the list only. */
export function eventFeatures(
  events: Iterable<GridEvent>,
  positionOf: (event: GridEvent) => Position | null,
  titleOf: (event: GridEvent) => string,
): ReadonlyMap<string, EventFeature> {
  const features = new Map<string, EventFeature>();
  for (const event of events) {
    const coordinates = event.state === 'open' ? positionOf(event) : null;
    if (coordinates === null) continue;
    const properties = {
      id: event.event_id,
      rank: rankOf(event.severity),
      unacknowledged: event.unacknowledged_count > 0,
      title: titleOf(event),
    };
    features.set(event.event_id, { type: 'Feature', geometry: { type: 'Point', coordinates }, properties });
  }
  return features;
}

/** New or changed features by id; `null` for those that are gone. */
export function changedFeatures(
  before: ReadonlyMap<string, EventFeature>,
  after: ReadonlyMap<string, EventFeature>,
): ReadonlyMap<string, EventFeature | null> {
  const changed = new Map<string, EventFeature | null>();
  for (const id of before.keys()) if (!after.has(id)) changed.set(id, null);
  for (const [id, feature] of after) if (!isSame(before.get(id), feature)) changed.set(id, feature);
  return changed;
}

function isSame(a: EventFeature | undefined, b: EventFeature): boolean {
  if (!a) return false;
  const [p, q] = [a.properties, b.properties];
  const [[lon, lat], [lon2, lat2]] = [a.geometry.coordinates, b.geometry.coordinates] as [Position, Position];
  return p.rank === q.rank && p.unacknowledged === q.unacknowledged && p.title === q.title && lon === lon2 && lat === lat2;
}
