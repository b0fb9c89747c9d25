import type { RestoreEngine } from '../../engine.ts';

export const planRestore: RestoreEngine['plan'] = async () => {
  throw new Error('being written');
};
