import { setWorkflowOptions } from '@temporalio/workflow';
import { archive } from './archive.ts';
import { plan } from './plan.ts';
import { sourceGate } from './source-gate.ts';

/**
 * What a worker hosts that belongs to a deployment. A run ends on the build that it began on: that is the default of such a worker. What lives for years
 * moves to each new build with its next step, so its code keeps `patched`. This is an entry of its own, and not written beside each
 * workflow, since Temporal refuses every step of a worker without a deployment whose workflow says how it is versioned.
 */
setWorkflowOptions({ versioningBehavior: 'AUTO_UPGRADE' }, archive);
setWorkflowOptions({ versioningBehavior: 'AUTO_UPGRADE' }, plan);
setWorkflowOptions({ versioningBehavior: 'AUTO_UPGRADE' }, sourceGate);

export * from './index.ts';
