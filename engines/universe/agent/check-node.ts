import { formatBytes } from '../../../model/amounts.ts';
import { type Check, check } from '../../../model/check.ts';
import type { CheckAnswer } from '../../../model/doctor.ts';
import { permanent } from '../../../model/errors.ts';
import type { RepositorySpec } from '../../../model/pipeline.ts';
import { checkRepository } from '../../repository-checks.ts';
import { workerIdentity } from '../../worker-identity.ts';
import { inspectNode } from './fill-tablets.ts';
import type { NodeAgent } from './node-agent.ts';

/** A check of `holdfast doctor`. It runs on the agent, since an agent sends files with its own credentials and from its own disks. */
export async function checkNode(
  agent: NodeAgent,
  repository: RepositorySpec,
  signal: AbortSignal,
): Promise<CheckAnswer> {
  const disks = await check('its data directories', async () => {
    const { directories, problems } = await inspectNode(agent, {}, signal);
    if (problems.length > 0) {
      throw permanent(
        'AGENT_DISKS',
        problems.join('; '),
        'Run the agent as the user of the tablet server, on its node (docs/universe.md).',
      );
    }
    const named = await agent.directoriesNotGiven(signal);
    if (named !== undefined) {
      throw permanent(
        'AGENT_DISKS',
        `The tablet server keeps tablets in ${named.length} data directories (${named.join(', ')}), and the agent knows ${directories.length}: ${directories.map(({ path }) => path).join(', ')}`,
        'Name all fs_data_dirs with --data-dirs, or leave it out. A backup or restore fails at the first tablet that is in a directory which the agent doesn’t know.',
      );
    }
    return directories.map(({ path, freeBytes }) => `${path}, ${formatBytes(freeBytes)} free`).join('; ');
  });
  const ofNode = ({ name, ...rest }: Check): Check => ({ name: `agent ${agent.address}: ${name}`, ...rest });
  return {
    worker: workerIdentity(),
    checks: [...(await checkRepository(repository)), disks].map(ofNode),
    agents: [],
  };
}
