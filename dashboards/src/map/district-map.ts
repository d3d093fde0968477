/**
 * One map of the district on the screen. Loaded only when it is needed, since the library outweighs all the rest.
 *
 * Snapshots come by `set…`; what changes afterwards by `change…`, at most once a second and as differences.
 */
import type { FeatureCollection, Point } from 'geojson';
import { Map as LibreMap, NavigationControl, setWorkerUrl, type GeoJSONSource, type MapGeoJSONFeature, type MapMouseEvent } from 'maplibre-gl'; // prettier-ignore
import 'maplibre-gl/dist/maplibre-gl.css';
import workerUrl from 'maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url';
import { Coalescer } from '../lib/coalesce';
import type { AreaGeometry, Bounds } from '../lib/geometry';
import type { EventFeature } from '../lib/map-events';
import type { DevicePlace, Position } from '../lib/snapshot';
import type { Resource } from '../lib/wire';
import { addImages } from './images';
import { layersOf, styleOf, type Look } from './style';

setWorkerUrl(workerUrl);

const CHANGES_EVERY_MS = 1000;
const PULSE_EVERY_MS = 500;
/** Without a graphics card each turn of the ring draws the whole map anew for as long: then the ring stands still. */
const SLOW_FRAME_MS = 150;
const SLOW_FRAMES = 3;
const FIT = { padding: 24, maxZoom: 17, duration: 0 };
const NEAR_ZOOM = 16.5;
/** Devices at one place that are told by name when it is clicked. */
const PICKED_MOST = 12;
const AREA_LAYERS = ['area-building', 'area-grid', 'area-community', 'area-street', 'area-district'];
const CLUSTER_LAYERS = ['cluster-abnormal', 'cluster-normal'];
const DEVICE_LAYERS = ['device-abnormal', 'device-normal'];

export interface Words {
  map: string;
  zoomIn: string;
  zoomOut: string;
}

export interface Clicks {
  event?: (eventId: string) => void;
  area?: (code: string) => void;
  picked?: (picked: Picked) => void;
}

export interface Picked {
  devices: DevicePlace[];
  /** More than could be named. */
  more: number;
  resources: { resource_id: string; kind: string; name: string }[];
}

export class DistrictMap {
  readonly library: LibreMap;
  #devices = new Coalescer<number>(CHANGES_EVERY_MS, (batch) => this.#ranksChanged(batch));
  #events = new Coalescer<EventFeature | null>(CHANGES_EVERY_MS, (batch) => this.#eventsChanged(batch));
  /** What is drawn, and whether somebody has acknowledged it. */
  #heldEvents = new Map<string, boolean>();
  #pulse: ReturnType<typeof setInterval> | null = null;
  #hovered: string | number | undefined;
  #chosen: string | null = null;
  /** What the view was fitted to, until somebody moves it: another size of the pane is fitted again. */
  #fitted: Bounds | null;
  #ready: Promise<void>;
  #removed = false;

  /** Throws where the browser cannot draw it (no WebGL 2). */
  constructor(container: HTMLElement, look: Look, words: Words, clicks: Clicks, bounds: Bounds | null, still: boolean) {
    this.library = new LibreMap({
      container, style: styleOf(look, !still), attributionControl: false, dragRotate: false, pitchWithRotate: false,
      touchPitch: false, renderWorldCopies: false, minZoom: 8, maxZoom: 19.5, interactive: !still, fadeDuration: 0,
      locale: { 'Map.Title': words.map, 'NavigationControl.ZoomIn': words.zoomIn, 'NavigationControl.ZoomOut': words.zoomOut },
      ...(bounds ? { bounds, fitBoundsOptions: FIT } : {}),
    }); // prettier-ignore
    this.#fitted = bounds;
    this.library.on('movestart', ({ originalEvent }) => {
      if (originalEvent) this.#fitted = null;
    });
    this.library.on('resize', () => {
      if (this.#fitted) this.library.fitBounds(this.#fitted, FIT);
    });
    this.#ready = new Promise((done) => {
      void this.library.once('load', () => {
        addImages(this.library);
        done();
      });
    });
    if (still) return;
    this.library.touchZoomRotate.disableRotation();
    this.library.addControl(new NavigationControl({ showCompass: false }), 'bottom-right');
    this.#listen(clicks);
  }

  remove(): void {
    this.#removed = true;
    this.#devices.clear();
    this.#events.clear();
    this.pulse(false);
    this.library.remove();
  }

  look(look: Look): void {
    this.#then(() => {
      for (const layer of layersOf(look)) {
        for (const [name, value] of Object.entries(layer.paint ?? {})) this.#paint(layer.id, name, value);
        const text = 'layout' in layer && layer.layout && 'text-field' in layer.layout ? layer.layout['text-field'] : null;
        if (text !== null) this.library.setLayoutProperty(layer.id, 'text-field', text);
      }
    });
  }

  setBasemap(basemap: FeatureCollection | null): void {
    this.#set('basemap', basemap?.features ?? []);
  }

  setAreas(geometry: AreaGeometry | null, labelOf: (code: string) => Position | null): void {
    const features = geometry?.features ?? [];
    this.#set('areas', features);
    this.#set('labels', features.flatMap(({ properties }) => {
      const coordinates = labelOf(properties.code);
      return coordinates ? [point(coordinates, { ...properties })] : [];
    })); // prettier-ignore
  }

  /** All devices, once; their severities change by {@link changeRanks}. */
  setDevices(features: FeatureCollection<Point, DevicePlace>['features']): void {
    this.#devices.clear();
    this.#set('devices', features);
  }

  setResources(resources: Iterable<Resource>): void {
    const features = [...resources].flatMap(({ resource_id, kind, name, lon, lat }) =>
      lon === null || lat === null ? [] : [point([lon, lat], { resource_id, kind, name })],
    );
    this.#set('resources', features);
  }

  changeRanks(changes: ReadonlyMap<string, number>): void {
    this.#then(() => this.#devices.put(changes));
  }

  changeEvents(changes: ReadonlyMap<string, EventFeature | null>): void {
    this.#then(() => this.#events.put(changes));
  }

  /** The ring around what nobody has acknowledged goes on and off at 1 Hz, or stays. */
  pulse(on: boolean): void {
    if (this.#pulse !== null) clearInterval(this.#pulse);
    this.#pulse = null;
    if (!this.#removed) this.#then(() => this.#paint('event-ring', 'circle-stroke-opacity', 1));
    if (!on) return;
    let shown = true;
    let slow = 0;
    this.#pulse = setInterval(() => {
      // A hidden tab draws nothing, and where all is acknowledged there is nothing to draw anew.
      if (document.hidden || ![...this.#heldEvents.values()].includes(false)) return;
      shown = !shown;
      const changedMs = performance.now();
      this.#then(() => this.#paint('event-ring', 'circle-stroke-opacity', shown ? 1 : 0.15));
      afterFrames(2, () => {
        slow = performance.now() - changedMs > SLOW_FRAME_MS ? slow + 1 : 0;
        if (slow === SLOW_FRAMES) this.pulse(false);
      });
    }, PULSE_EVERY_MS);
  }

  chooseArea(code: string | null): void {
    this.#then(() => {
      if (this.#chosen) this.library.removeFeatureState({ source: 'areas', id: this.#chosen }, 'chosen');
      if (code) this.library.setFeatureState({ source: 'areas', id: code }, { chosen: true });
      this.#chosen = code;
    });
  }

  fit(bounds: Bounds): void {
    this.#fitted = bounds;
    this.library.fitBounds(bounds, FIT);
  }

  near(position: Position): void {
    this.#fitted = null;
    this.library.jumpTo({ center: position, zoom: Math.max(NEAR_ZOOM, this.library.getZoom()) });
  }

  #set(source: string, features: GeoJSON.Feature[]): void {
    this.#then(() => void this.#source(source).setData({ type: 'FeatureCollection', features }));
  }

  #ranksChanged(batch: ReadonlyMap<string, number>): void {
    const update = [...batch].map(([id, rank]) => ({ id, addOrUpdateProperties: [{ key: 's', value: rank }] }));
    void this.#source('devices').updateData({ update });
  }

  #eventsChanged(batch: ReadonlyMap<string, EventFeature | null>): void {
    const remove = [...batch.keys()].filter((id) => this.#heldEvents.delete(id));
    const add = [...batch.values()].filter((feature) => feature !== null);
    for (const { properties } of add) this.#heldEvents.set(properties.id, !properties.unacknowledged);
    // What is added anew takes the place of what is removed under the same id.
    void this.#source('events').updateData({ remove, add });
  }

  #source(name: string): GeoJSONSource {
    return this.library.getSource<GeoJSONSource>(name)!;
  }

  /** In the order of the calls, and never before the style stands or after the end. */
  #then(act: () => void): void {
    void this.#ready.then(() => this.#removed || act());
  }

  #paint(layer: string, name: string, value: unknown): void {
    this.library.setPaintProperty(layer, name as never, value as never);
  }

  #listen(clicks: Clicks): void {
    this.library.on('click', (click) => void this.#clicked(click, clicks));
    this.library.on('mousemove', (move) => this.#moved(move));
    this.library.on('mouseout', () => this.#hover(undefined));
  }

  #at(where: MapMouseEvent, layers: string[]): MapGeoJSONFeature[] {
    const { x, y } = where.point;
    return this.library.queryRenderedFeatures([[x - 3, y - 3], [x + 3, y + 3]], { layers }); // prettier-ignore
  }

  async #clicked(click: MapMouseEvent, clicks: Clicks): Promise<void> {
    const event = this.#at(click, ['event'])[0];
    if (event) return clicks.event?.(String(event.properties['id']));
    const cluster = this.#at(click, CLUSTER_LAYERS)[0];
    if (cluster) return this.#open(cluster, clicks);
    const devices = unique(this.#at(click, DEVICE_LAYERS).map((feature) => feature.properties as DevicePlace), 'id');
    const resources = unique(this.#at(click, ['resource']).map((feature) => feature.properties as Picked['resources'][0]), 'resource_id');
    if (devices.length + resources.length > 0) {
      return clicks.picked?.({ devices: devices.slice(0, PICKED_MOST), more: Math.max(0, devices.length - PICKED_MOST), resources });
    }
    const area = this.#at(click, AREA_LAYERS)[0];
    if (area) clicks.area?.(String(area.properties['code']));
  }

  /** Closer, until it falls apart; what never does (one stairwell, one place) is told by name. */
  async #open(cluster: MapGeoJSONFeature, clicks: Clicks): Promise<void> {
    const { cluster_id: id, point_count: count } = cluster.properties as { cluster_id: number; point_count: number };
    const source = this.#source('devices');
    const zoom = await source.getClusterExpansionZoom(id);
    if (this.library.getZoom() < this.library.getMaxZoom() - 1.5 && zoom > this.library.getZoom()) {
      this.#fitted = null;
      this.library.jumpTo({ center: (cluster.geometry as Point).coordinates as Position, zoom: zoom + 0.2 });
      return;
    }
    const leaves = await source.getClusterLeaves(id, PICKED_MOST, 0);
    const devices = leaves.map((leaf) => leaf.properties as DevicePlace);
    clicks.picked?.({ devices, more: Math.max(0, count - devices.length), resources: [] });
  }

  #moved(move: MapMouseEvent): void {
    const onTop = this.#at(move, ['event', ...CLUSTER_LAYERS, ...DEVICE_LAYERS, 'resource']).length > 0;
    this.library.getCanvas().style.cursor = onTop ? 'pointer' : '';
    this.#hover(onTop ? undefined : this.#at(move, AREA_LAYERS)[0]?.id);
  }

  #hover(id: string | number | undefined): void {
    if (id === this.#hovered) return;
    if (this.#hovered !== undefined) this.library.removeFeatureState({ source: 'areas', id: this.#hovered }, 'hovered');
    if (id !== undefined) this.library.setFeatureState({ source: 'areas', id }, { hovered: true });
    this.#hovered = id;
  }
}

function afterFrames(frames: number, act: () => void): void {
  requestAnimationFrame(() => (frames > 1 ? afterFrames(frames - 1, act) : act()));
}

function point(coordinates: Position, properties: Record<string, unknown>): GeoJSON.Feature<Point> {
  return { type: 'Feature', geometry: { type: 'Point', coordinates }, properties };
}

/** A feature on the edge of two tiles is found in both. */
function unique<Thing, Key extends keyof Thing>(things: Thing[], key: Key): Thing[] {
  return [...new Map(things.map((thing) => [thing[key], thing])).values()];
}
