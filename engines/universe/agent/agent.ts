import type { TabletAgent } from '../../tablet-engine.ts';
import { checkNode } from './check-node.ts';
import { fillTablets, inspectNode, unfilledTablets } from './fill-tablets.ts';
import { NodeAgent, type NodeSettings } from './node-agent.ts';
import { onNode } from './on-node.ts';
import { saveTablets } from './save-tablets.ts';

/** The agent of one tablet server: one file per verb. */
export function agentOf(settings: NodeSettings): TabletAgent {
  const agent = new NodeAgent(settings);
  return {
    save: (context, request) => onNode(agent.address, () => saveTablets(agent, context, request)),
    fill: (context, readManifest, request) =>
      onNode(agent.address, async () => fillTablets(agent, context, await readManifest(), request)),
    unfilled: (context, readManifest, request) =>
      onNode(agent.address, async () => unfilledTablets(agent, context, await readManifest(), request)),
    inspect: (inspection, signal) => inspectNode(agent, inspection, signal),
    check: (repository, signal) => checkNode(agent, repository, signal),
  };
}
