import { expect, test } from 'vitest';
import { changedFeatures, eventFeatures } from '../../src/lib/map-events';
import type { GridEvent } from '../../src/lib/wire';
import { event } from './made';

const at = (one: GridEvent): [number, number] | null => (one.device_id === 'nowhere' ? null : [120, 30]);
const places = (...events: GridEvent[]) => eventFeatures(events, at, (one) => one.title.en);

test('open events with a place are on the map', () => {
  const shown = places(event('a', { severity: 'high', unacknowledged_count: 0 }), event('b', { state: 'closed' }), event('c', { device_id: 'nowhere' })); // prettier-ignore
  expect([...shown.values()].map((feature) => feature.properties)).toEqual([
    { id: 'a', rank: 3, unacknowledged: false, title: 'Smoke alarm' },
  ]);
});
test('a difference holds what is new or other, and what is gone', () => {
  const before = places(event('a'), event('b'), event('c'));
  const after = places(event('a'), event('b', { unacknowledged_count: 0 }), event('d'));
  const changed = changedFeatures(before, after);
  expect([...changed.keys()]).toEqual(['c', 'b', 'd']);
  expect(changed.get('c')).toBeNull();
  expect(changed.get('b')!.properties.unacknowledged).toBe(false);
});
