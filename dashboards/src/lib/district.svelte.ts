/** What the map shows and what seldom changes: shapes of areas, the base map, all devices, resources. */
import type { FeatureCollection } from 'geojson';
import { untrack } from 'svelte';
import { boundsOf, labelPoint, outlineOf, type AreaGeometry, type Bounds } from './geometry';
import { get, Problem } from './http';
import { every } from './polling.svelte';
import { devicesPerArea, positionsOf, type DeviceSnapshot, type Position } from './snapshot';
import type { GridEvent, Resource } from './wire';

const EVERY_MS = 5 * 60_000;
const RESOURCE_PAGE = 500;
/** More than any district has; an end to asking all the same. */
const RESOURCE_PAGES = 20;

class District {
  geometry = $state.raw<AreaGeometry | null>(null);
  basemap = $state.raw<FeatureCollection | null>(null);
  snapshot = $state.raw<DeviceSnapshot | null>(null);
  resources = $state.raw<readonly Resource[]>([]);
  /** Before the first answers nobody knows whether there is anything to draw. */
  known = $state(false);
  problem = $state.raw<Problem | null>(null);

  positions = $derived<ReadonlyMap<string, Position>>(this.snapshot ? positionsOf(this.snapshot) : new Map());
  devicesPerArea = $derived<ReadonlyMap<string, number>>(this.snapshot ? devicesPerArea(this.snapshot) : new Map());
  #labels = $derived(new Map((this.geometry?.features ?? []).map((f) => [f.properties.code, labelPoint(f.geometry)])));

  /** Neither shapes nor a base map nor a device with a place: then there is no map. */
  get isEmpty(): boolean {
    return !this.geometry?.features.length && !this.basemap?.features.length && this.positions.size === 0;
  }

  start(): () => void {
    // Whoever starts it shall not start it again because of what it reads.
    const stop = untrack(() => every(EVERY_MS, () => void this.load()));
    return () => {
      stop();
      this.geometry = this.basemap = this.snapshot = this.problem = null;
      this.resources = [];
      this.known = false;
    };
  }

  /** Everything at first, or after a failure; then only if the registry has another version. */
  async load(): Promise<void> {
    const complete = this.known && this.problem === null;
    const before = this.snapshot?.version;
    this.problem = null;
    const rest = () => [
      this.#ask(() => get<AreaGeometry>('/areas/geometry'), (told) => (this.geometry = told)),
      this.#ask(() => get<FeatureCollection>('/basemap'), (told) => (this.basemap = told)),
      this.#ask(allResources, (told) => (this.resources = told ?? [])),
    ];
    const snapshot = this.#ask(() => get<DeviceSnapshot>('/devices/snapshot'), (told) => this.#snapshotTold(told));
    await (complete ? snapshot : Promise.all([snapshot, ...rest()]));
    if (complete && this.snapshot?.version !== before) await Promise.all(rest());
    this.known = true;
  }

  /** The whole of what is drawn; of a city only what is looked after, the districts. */
  bounds(): Bounds | null {
    const shapes = this.geometry?.features ?? [];
    const below = shapes.filter((feature) => feature.properties.level !== 'city');
    const outlines = (below.length > 0 ? below : shapes).flatMap((feature) => outlineOf(feature.geometry));
    return boundsOf(outlines.length > 0 ? outlines : this.positions.values());
  }

  /** The box of an area; without a shape of its own, that of the nearest one above it that has one. */
  boundsOfArea(code: string): Bounds | null {
    const shapes = (this.geometry?.features ?? []).filter((feature) => code.startsWith(feature.properties.code));
    const nearest = shapes.sort((a, b) => b.properties.code.length - a.properties.code.length)[0];
    return nearest ? boundsOf(outlineOf(nearest.geometry)) : null;
  }

  /** Where an event is: at its device or, if that has no place, in the middle of the smallest area drawn. */
  positionOf(event: Pick<GridEvent, 'device_id' | 'area'>): Position | null {
    const exact = this.positions.get(event.device_id);
    if (exact) return exact;
    for (let length = event.area.length; length > 0; length -= 1) {
      const label = this.#labels.get(event.area.slice(0, length));
      if (label) return label;
    }
    return null;
  }

  labelOf(code: string): Position | null {
    return this.#labels.get(code) ?? null;
  }

  /** The same version is the same devices: then nothing is drawn anew. */
  #snapshotTold(told: DeviceSnapshot | null): void {
    const usable = told !== null && Array.isArray(told.id) ? told : null;
    if (usable === null || usable.version !== this.snapshot?.version) this.snapshot = usable;
  }

  /** What is not there is an answer too; what could not be asked leaves the last answer standing. */
  async #ask<T>(question: () => Promise<T>, told: (answer: T | null) => void): Promise<void> {
    try {
      told(await question());
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (error.status === 404) told(null);
      else this.problem = error;
    }
  }
}

async function allResources(): Promise<Resource[]> {
  const all: Resource[] = [];
  let after: string | null = null;
  for (let page = 0; page < RESOURCE_PAGES; page += 1) {
    const told: { resources: Resource[]; next: string | null } = await get('/resources', { after, limit: RESOURCE_PAGE });
    all.push(...told.resources);
    if (told.next === null) break;
    after = told.next;
  }
  return all;
}

export const district = new District();
