import type { Engine } from '../engine.ts';

export const runStatement: Engine['sql'] = async () => {
  throw new Error('being written');
};
