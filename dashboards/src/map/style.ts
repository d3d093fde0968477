/** The layers of the map from the ground up. Pure: a theme and a language in, a style out. */
import type { ExpressionSpecification, LayerSpecification, StyleSpecification } from 'maplibre-gl';
import { paletteOf, type Palette } from './palette';

export interface Look {
  dark: boolean;
  english: boolean;
}

/** Letters come from the page's own font and are drawn here: there is no glyph server. */
const FONT = ['Noto Sans SC', 'sans-serif'];
const NOTHING = { type: 'FeatureCollection' as const, features: [] };
/** Closer than this no two devices are drawn as one. */
const CLUSTER_MAX_ZOOM = 16;
const CLUSTER_RADIUS_PX = 42;
/** From which to which zoom the outlines of a level are drawn; smaller areas appear as one comes closer. */
const LEVEL_ZOOMS: readonly (readonly [level: string, from: number, to: number, width: number, labelPx: number])[] = [
  ['district', 0, 24, 1.8, 15],
  ['street', 9, 24, 1.2, 14],
  ['community', 13.3, 24, 0.8, 12],
  ['grid', 15.2, 24, 0.5, 11],
  ['building', 16.4, 24, 0.7, 10],
];
const LABEL_UNTIL: Readonly<Record<string, number>> = { district: 11.5, street: 14.2, community: 16.2, grid: 17.6, building: 24 };

/** Only the text of a pill asks for a place; with this much around it the shape on its left keeps clear, too. */
const PILL_PADDING_PX = 12;
/** Where a text may lie beside its place, in the order they are tried. */
const AROUND = ['center', 'top', 'bottom', 'left', 'right', 'top-left', 'top-right', 'bottom-left', 'bottom-right'] as const;

const IS_CLUSTER: ExpressionSpecification = ['has', 'point_count'];
const all = (...parts: ExpressionSpecification[]): ExpressionSpecification => ['all', ...parts];
const not = (part: ExpressionSpecification): ExpressionSpecification => ['!', part];
const byZoom = (...stops: number[]): ExpressionSpecification =>
  ['interpolate', ['exponential', 1.6], ['zoom'], ...stops] as unknown as ExpressionSpecification;

export const SOURCES = {
  basemap: { type: 'geojson', data: NOTHING },
  areas: { type: 'geojson', data: NOTHING, promoteId: 'code' },
  labels: { type: 'geojson', data: NOTHING },
  devices: {
    type: 'geojson', data: NOTHING, promoteId: 'id', maxzoom: 18,
    cluster: true, clusterRadius: CLUSTER_RADIUS_PX, clusterMaxZoom: CLUSTER_MAX_ZOOM,
    // What a cluster hides must not look better than it is: the worst severity, and how many are abnormal.
    clusterProperties: { worst: ['max', ['get', 's']], abnormal: ['+', ['case', ['>', ['get', 's'], 0], 1, 0]] },
  },
  resources: { type: 'geojson', data: NOTHING, promoteId: 'resource_id' },
  events: { type: 'geojson', data: NOTHING, promoteId: 'id' },
} satisfies StyleSpecification['sources']; // prettier-ignore

/** `clustered` false draws every device by itself: for a few that all matter. */
export function styleOf(look: Look, clustered = true): StyleSpecification {
  const { clusterProperties: _, ...devices } = SOURCES.devices;
  const sources = clustered ? SOURCES : { ...SOURCES, devices: { ...devices, cluster: false } };
  return { version: 8, sources, layers: layersOf(look) };
}

/**
 * From the ground up. Places for symbols are given from the top down: what lies lower finds its place beside what lies
 * higher, so names keep off the figures of clusters, and these off the open events.
 */
export function layersOf({ dark, english }: Look): LayerSpecification[] {
  const palette = paletteOf(dark);
  return [...ground(palette), ...areas(palette), ...devices(palette), RESOURCES, ...names(palette, english), count(palette), ...abnormal(palette)];
}

function ground(palette: Palette): LayerSpecification[] {
  const of = (layer: string): ExpressionSpecification => ['==', ['get', 'layer'], layer];
  const shape = { type: 'fill', source: 'basemap' } as const;
  return [
    { id: 'outside', type: 'background', paint: { 'background-color': palette.outside } },
    { ...shape, id: 'land', filter: of('land'), paint: { 'fill-color': palette.land } },
    { ...shape, id: 'green', filter: of('green'), paint: { 'fill-color': palette.green } },
    {
      ...shape, id: 'water', filter: all(of('water'), ['==', ['geometry-type'], 'Polygon']),
      paint: { 'fill-color': palette.water },
    },
    {
      id: 'river', type: 'line', source: 'basemap', filter: all(of('water'), ['==', ['geometry-type'], 'LineString']),
      paint: { 'line-color': palette.water, 'line-width': byZoom(11, 1.5, 18, 14) },
    },
    ...roads(palette, of('road')),
  ]; // prettier-ignore
}

/** Three widths; an unknown class counts as a small street, which shows from near only. */
function roads(palette: Palette, road: ExpressionSpecification): LayerSpecification[] {
  const MAIN = ['motorway', 'trunk', 'primary', 'arterial', 'main', 'expressway'];
  const MIDDLE = ['secondary', 'tertiary', 'collector', 'street'];
  const isOf = (classes: string[]): ExpressionSpecification => ['in', ['get', 'class'], ['literal', classes]];
  const line = { type: 'line', source: 'basemap', layout: { 'line-cap': 'round', 'line-join': 'round' } } as const;
  const paint = (...widths: number[]) => ({ 'line-color': palette.road, 'line-width': byZoom(...widths) });
  return [
    { ...line, id: 'road-small', minzoom: 13, filter: all(road, not(isOf([...MAIN, ...MIDDLE]))), paint: paint(13, 0.5, 18, 8) },
    { ...line, id: 'road-middle', filter: all(road, isOf(MIDDLE)), paint: paint(11, 0.6, 18, 12) },
    { ...line, id: 'road-main', filter: all(road, isOf(MAIN)), paint: paint(10, 1, 18, 18) },
  ];
}

function areas(palette: Palette): LayerSpecification[] {
  const chosen: ExpressionSpecification = ['boolean', ['feature-state', 'chosen'], false];
  const hovered: ExpressionSpecification = ['boolean', ['feature-state', 'hovered'], false];
  const level = (name: string): ExpressionSpecification => ['==', ['get', 'level'], name];
  return [
    ...LEVEL_ZOOMS.map(([name, minzoom, maxzoom]): LayerSpecification => ({
      id: `area-${name}`, type: 'fill', source: 'areas', filter: level(name), minzoom, maxzoom,
      paint: { 'fill-color': palette.hover, 'fill-opacity': ['case', hovered, 0.12, 0] },
    })),
    ...LEVEL_ZOOMS.map(([name, minzoom, maxzoom, width]): LayerSpecification => ({
      id: `border-${name}`, type: 'line', source: 'areas', filter: level(name), minzoom, maxzoom,
      paint: { 'line-color': palette.border, 'line-width': width },
    })),
    {
      id: 'chosen', type: 'line', source: 'areas',
      paint: { 'line-color': palette.chosen, 'line-width': ['case', chosen, 3, 0], 'line-opacity': ['case', chosen, 1, 0] },
    },
  ]; // prettier-ignore
}

/** What is as it should be is small and grey. Hydrants are rings, as on the plans of the fire service. */
function devices(palette: Palette): LayerSpecification[] {
  const isHydrant: ExpressionSpecification = ['==', ['get', 'kind'], 'hydrant'];
  return [
    {
      id: 'device-normal', type: 'circle', source: 'devices',
      filter: all(not(IS_CLUSTER), ['==', ['get', 's'], 0]),
      paint: {
        'circle-radius': byZoom(11, 1.6, 18, 5.5), 'circle-color': ['case', isHydrant, palette.land, palette.device],
        'circle-stroke-color': palette.device, 'circle-stroke-width': ['case', isHydrant, 1.6, 0.5],
      },
    },
    {
      id: 'cluster-normal', type: 'circle', source: 'devices', filter: all(IS_CLUSTER, ['==', ['get', 'worst'], 0]),
      paint: {
        'circle-radius': ['interpolate', ['linear'], ['log10', ['get', 'point_count']], 0.3, 8, 2, 12, 4, 18],
        'circle-color': palette.cluster, 'circle-opacity': 0.85,
      },
    },
  ]; // prettier-ignore
}

/** Help that is there, above what is as it should be; in nobody's way. */
const RESOURCES: LayerSpecification = {
  id: 'resource', type: 'symbol', source: 'resources', minzoom: 12,
  layout: {
    'icon-image': 'resource', 'icon-size': byZoom(11, 0.4, 14, 0.7, 17, 1.2),
    'icon-allow-overlap': true, 'icon-ignore-placement': true,
  },
}; // prettier-ignore

/** Drawn wherever it is, and a place that names keep off, the disc around it included. */
function count(palette: Palette): LayerSpecification {
  return {
    id: 'cluster-count', type: 'symbol', source: 'devices', filter: all(IS_CLUSTER, ['==', ['get', 'worst'], 0]),
    layout: {
      'text-field': ['to-string', ['get', 'point_count']], 'text-font': FONT, 'text-size': 10.5, 'text-padding': 5,
      'text-allow-overlap': true,
    },
    paint: { 'text-color': palette.clusterText, 'text-halo-color': palette.cluster, 'text-halo-width': 1.2 },
  }; // prettier-ignore
}

function names(palette: Palette, english: boolean): LayerSpecification[] {
  const name: ExpressionSpecification = english
    ? ['case', ['==', ['get', 'name_en'], ''], ['get', 'name'], ['get', 'name_en']]
    : ['get', 'name'];
  // The wider area last, so that its name is placed before those of its parts.
  return [...LEVEL_ZOOMS].reverse().map(([level, minzoom, , , size]): LayerSpecification => ({
    id: `label-${level}`, type: 'symbol', source: 'labels', filter: ['==', ['get', 'level'], level],
    minzoom: level === 'building' ? minzoom + 1.2 : minzoom,
    maxzoom: LABEL_UNTIL[level] ?? 24,
    layout: {
      'text-field': name, 'text-font': FONT, 'text-size': size, 'text-max-width': 8, 'text-padding': 2,
      'text-variable-anchor': [...AROUND], 'text-radial-offset': 1, 'text-justify': 'auto',
    },
    paint: { 'text-color': palette.label, 'text-halo-color': palette.halo, 'text-halo-width': 1.6 },
  })); // prettier-ignore
}

/** On top, whatever lies below: what is abnormal, and at the very top the open events. */
function abnormal(palette: Palette): LayerSpecification[] {
  const shown = { 'icon-allow-overlap': true } as const;
  return [
    {
      id: 'device-abnormal', type: 'symbol', source: 'devices', filter: all(not(IS_CLUSTER), ['>', ['get', 's'], 0]),
      layout: { ...shown, 'icon-image': ['concat', 'device-', ['get', 's']], 'symbol-sort-key': ['get', 's'] },
    },
    {
      id: 'cluster-abnormal', type: 'symbol', source: 'devices', filter: all(IS_CLUSTER, ['>', ['get', 'worst'], 0]),
      layout: {
        ...shown, 'icon-image': ['concat', 'cluster-', ['get', 'worst']], 'icon-text-fit': 'both',
        'text-field': ['concat', ['get', 'abnormal'], '/', ['get', 'point_count']], 'text-font': FONT, 'text-size': 11.5,
        'text-variable-anchor': [...AROUND], 'text-radial-offset': 1.6, 'text-padding': PILL_PADDING_PX,
        'text-allow-overlap': true, 'symbol-sort-key': ['get', 'worst'],
      },
      paint: { 'text-color': '#f2f4f6' },
    },
    {
      id: 'event-ring', type: 'circle', source: 'events', filter: ['get', 'unacknowledged'],
      paint: {
        'circle-radius': byZoom(11, 11, 16, 19), 'circle-opacity': 0, 'circle-stroke-width': 3, 'circle-stroke-color': palette.chosen,
      },
    },
    {
      id: 'event', type: 'symbol', source: 'events',
      layout: { ...shown, 'icon-image': ['concat', 'event-', ['get', 'rank']], 'icon-size': byZoom(11, 0.6, 16, 1), 'symbol-sort-key': ['get', 'rank'] },
    },
  ]; // prettier-ignore
}
