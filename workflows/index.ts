/** Everything a worker hosts. The function's name is the workflow's type. */
export { archive } from './archive.ts';
export { backup } from './backup.ts';
export { doctor } from './doctor.ts';
export { drill } from './drill.ts';
export { inClusterRestore } from './in-cluster-restore.ts';
export { notify } from './notify.ts';
export { plan } from './plan.ts';
export { prune } from './prune.ts';
export { restore } from './restore.ts';
export { sourceGate } from './source-gate.ts';
export { tabletFill } from './tablet-fill.ts';
export { tabletTransfer } from './tablet-transfer.ts';
export { transfer } from './transfer.ts';
export { verify } from './verify.ts';
