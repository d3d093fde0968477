// The validator comes with the map library itself, in the version that library asks for.
import { createExpression, validateStyleMin } from '@maplibre/maplibre-gl-style-spec';
import { expect, test } from 'vitest';
import { SOURCES, layersOf, styleOf } from '../../src/map/style';

test.each([true, false])('the style is valid, dark %s', (dark) => {
  expect(validateStyleMin(styleOf({ dark, english: dark }) as never)).toEqual([]);
  expect(validateStyleMin(styleOf({ dark, english: dark }, false) as never)).toEqual([]);
});
test('a cluster tells the worst severity and how many are abnormal', () => {
  const { worst, abnormal } = SOURCES.devices.clusterProperties as unknown as Record<string, [string, never]>;
  const ofEach = (property: [string, never] | undefined) =>
    [0, 0, 3, 1].map((s) => {
      const made = createExpression(property![1], 'clusterProperties');
      if (made.result !== 'success') throw new Error('no expression');
      return made.value.evaluate({ zoom: 12 } as never, { type: 1, properties: { s } } as never) as number;
    });
  expect(worst![0]).toBe('max');
  expect(Math.max(...ofEach(worst))).toBe(3);
  expect(abnormal![0]).toBe('+');
  expect(ofEach(abnormal).reduce((a, b) => a + b)).toBe(2);
});
test('open events lie above all, and nothing asks for letters or pictures elsewhere', () => {
  const style = styleOf({ dark: true, english: false });
  expect(layersOf({ dark: true, english: false }).at(-1)!.id).toBe('event');
  expect(JSON.stringify(style)).not.toMatch(/https?:|glyphs|sprite/);
});
