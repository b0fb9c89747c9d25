/** An agent in a separate process, as beside a database. It saves the tablets that it gets and reports the result. */
import { NodeAgent } from '../engines/universe/agent/node-agent.ts';
import type { S3Location } from '../model/pipeline.ts';
import type { TabletName } from '../model/tablets.ts';
import { openStore, peakMemoryBytes, save } from './universe-node.ts';

export interface AgentErrand {
  readonly disk: string;
  readonly stateDirectory: string;
  readonly location: S3Location;
  readonly backup: string;
  readonly tablets: readonly TabletName[];
  readonly bytesPerSecond?: number;
}

export interface AgentOutcome {
  readonly seconds: number;
  readonly peakBytes: number;
}

process.once('message', async (errand: AgentErrand) => {
  const { disk, stateDirectory, location, backup, tablets, bytesPerSecond } = errand;
  const agent = new NodeAgent({ stateDirectory, address: '127.0.0.1:9100', dataDirectories: [disk] });
  const store = await openStore(location);
  const startedAt = performance.now();
  await save(agent, store, location, backup, tablets, bytesPerSecond);
  const outcome: AgentOutcome = {
    seconds: (performance.now() - startedAt) / 1_000,
    peakBytes: peakMemoryBytes(process.pid),
  };
  process.send?.(outcome, () => process.exit());
});
