/** The greys of the map. Calm by rule: on it only what is wrong has colour (ISA-101). */
export interface Palette {
  outside: string;
  land: string;
  green: string;
  water: string;
  road: string;
  border: string;
  hover: string;
  chosen: string;
  label: string;
  halo: string;
  device: string;
  cluster: string;
  clusterText: string;
}

const LIGHT: Palette = {
  outside: '#dde0e3', land: '#e6e8ea', green: '#dbe0da', water: '#c3ccd4', road: '#fbfbfc', border: '#8b949d',
  hover: '#7d868f', chosen: '#181c21', label: '#3b434b', halo: '#f4f5f6', device: '#79798b', cluster: '#c3c8ce',
  clusterText: '#2b3138',
}; // prettier-ignore

const DARK: Palette = {
  outside: '#16191d', land: '#1b1f23', green: '#1e2522', water: '#121b24', road: '#343b42', border: '#59626b',
  hover: '#a2abb5', chosen: '#f2f4f6', label: '#b9c1c9', halo: '#16191d', device: '#79798b', cluster: '#3a4149',
  clusterText: '#d3d8dd',
}; // prettier-ignore

export const paletteOf = (dark: boolean): Palette => (dark ? DARK : LIGHT);
