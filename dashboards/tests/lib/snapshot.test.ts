import { expect, test } from 'vitest';
import { changedRanks, rankOf, severityOf, worstByDevice } from '../../src/lib/severity';
import { deviceFeatures, devicesPerArea, positionsOf, type DeviceSnapshot } from '../../src/lib/snapshot';
import { SEVERITIES } from '../../src/lib/wire';
import { alarm, event } from './made';

const SNAPSHOT: DeviceSnapshot = {
  version: 3, kinds: ['smoke', 'hydrant'], areas: ['330106', '330106003'], id: ['S1', 'S2', 'H1', 'H2'],
  k: [0, 0, 1, 1], a: [0, 1, 1, 1], lon: [120.1, 120.2, null, 120.4], lat: [30.1, 30.2, 30.3, 30.4],
  name: ['one', 'two', 'three', ''],
}; // prettier-ignore

test('columns become places; a device without one is not on the map', () => {
  const features = deviceFeatures(SNAPSHOT, new Map([['S2', 4]]), new Set());
  expect(features.map((feature) => feature.properties)).toEqual([
    { id: 'S1', kind: 'smoke', name: 'one', s: 0 },
    { id: 'S2', kind: 'smoke', name: 'two', s: 4 },
    { id: 'H2', kind: 'hydrant', name: '', s: 0 },
  ]);
  expect(features[2]!.geometry).toEqual({ type: 'Point', coordinates: [120.4, 30.4] });
  expect([...positionsOf(SNAPSHOT).keys()]).toEqual(['S1', 'S2', 'H2']);
});
test('a hidden kind is left out', () => {
  expect(deviceFeatures(SNAPSHOT, new Map(), new Set(['smoke'])).map((f) => f.properties.id)).toEqual(['H2']);
});
test('devices are counted by area, with a place or without', () => {
  expect(devicesPerArea(SNAPSHOT)).toEqual(new Map([['330106', 1], ['330106003', 3]])); // prettier-ignore
});

test('ranks follow the severities and come back', () => {
  expect(SEVERITIES.map(rankOf)).toEqual([4, 3, 2, 1]);
  expect(SEVERITIES.map(rankOf).map(severityOf)).toEqual(SEVERITIES);
  expect(severityOf(0)).toBeNull();
});
test('the worst open severity of a device, of its own events and of firing alarms in those of others', () => {
  const events = [
    event('a', { device_id: 'S1', severity: 'low' }),
    event('b', { device_id: 'S1', severity: 'high' }),
    event('c', { device_id: 'S2', severity: 'critical', state: 'closed' }),
  ];
  const alarms = [
    alarm('1', 'b', { device_id: 'H1', severity: 'medium' }),
    alarm('2', 'b', { device_id: 'H2', state: 'resolved' }),
    alarm('3', 'c', { device_id: 'S2' }),
  ];
  const worst = worstByDevice(new Map(events.map((e) => [e.event_id, e])), alarms);
  expect(worst).toEqual(new Map([['S1', 3], ['H1', 2]])); // prettier-ignore
});
test('only what differs is told; who is well again is normal', () => {
  const before = new Map([['a', 4], ['b', 2], ['c', 1]]); // prettier-ignore
  const after = new Map([['b', 2], ['c', 3], ['d', 1]]); // prettier-ignore
  expect(changedRanks(before, after)).toEqual(new Map([['a', 0], ['c', 3], ['d', 1]])); // prettier-ignore
});
