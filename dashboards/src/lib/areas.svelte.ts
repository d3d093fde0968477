/** The tree of areas: from a code to the names of the places it lies in. */
import { get, Problem } from './http';
import type { Area } from './wire';

/** How many levels a place is told by on a row: the last ones say most. */
const LEVELS_SHOWN = 3;

class Areas {
  #byCode = $state.raw<ReadonlyMap<string, Area>>(new Map());

  async load(): Promise<void> {
    try {
      const { areas } = await get<{ areas: Area[] }>('/areas');
      this.#byCode = new Map(areas.map((area) => [area.code, area]));
    } catch (error) {
      // Codes are shown in place of names; nothing else hangs on them.
      if (!(error instanceof Problem)) throw error;
    }
  }

  get all(): Iterable<Area> {
    return this.#byCode.values();
  }

  get known(): boolean {
    return this.#byCode.size > 0;
  }

  /** Names from the wider to the narrower place; the code itself where it is unknown. */
  path(code: string, english: boolean, levels = LEVELS_SHOWN): string[] {
    const names: string[] = [];
    let area = this.#byCode.get(code);
    if (!area) return code ? [code] : [];
    while (area && names.length < levels) {
      names.unshift((english && area.name_en) || area.name);
      area = area.parent ? this.#byCode.get(area.parent) : undefined;
    }
    return names;
  }
}

export const areas = new Areas();
