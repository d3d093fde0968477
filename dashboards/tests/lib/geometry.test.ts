import type { MultiPolygon, Polygon } from 'geojson';
import { expect, test } from 'vitest';
import { boundsOf, labelPoint, outlineOf } from '../../src/lib/geometry';

const polygon = (...ring: number[][]): Polygon => ({ type: 'Polygon', coordinates: [[...ring, ring[0]!]] });
const SQUARE = polygon([0, 0], [2, 0], [2, 2], [0, 2]);
const HORSESHOE = polygon([0, 0], [10, 0], [10, 10], [8, 10], [8, 2], [2, 2], [2, 10], [0, 10]);

test('the box around positions', () => {
  expect(boundsOf(outlineOf(HORSESHOE))).toEqual([0, 0, 10, 10]);
  expect(boundsOf([])).toBeNull();
});
test('a label stands in the middle', () => expect(labelPoint(SQUARE)).toEqual([1, 1]));
test('where the middle lies outside it stands beside it, inside', () => {
  const [lon, lat] = labelPoint(HORSESHOE)!;
  expect(lon === 1 || lon === 9).toBe(true);
  expect(lat).toBeGreaterThan(2);
});
test('of many parts the largest is labelled', () => {
  const parts: MultiPolygon = { type: 'MultiPolygon', coordinates: [polygon([20, 0], [21, 0], [21, 1]).coordinates, SQUARE.coordinates] }; // prettier-ignore
  expect(labelPoint(parts)).toEqual([1, 1]);
});
test('what has no surface has no label or one on it', () => {
  expect(labelPoint({ type: 'Polygon', coordinates: [] })).toBeNull();
  expect(labelPoint(polygon([5, 5], [6, 6], [5, 5]))).toEqual([5, 5]);
});
