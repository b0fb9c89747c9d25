import type { RestoreEngine } from '../../engine.ts';

export const load: RestoreEngine['load'] = async () => {
  throw new Error('being written');
};
