import type { RestoreEngine } from '../../engine.ts';

export const discard: RestoreEngine['discard'] = async () => {
  throw new Error('being written');
};
