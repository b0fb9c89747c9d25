import type { RestoreEngine } from '../../engine.ts';

export const applyPostData: RestoreEngine['postData'] = async () => {
  throw new Error('being written');
};
