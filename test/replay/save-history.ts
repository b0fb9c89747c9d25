import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import type { WorkflowClient } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import packageJson from '../../package.json' with { type: 'json' };

const FOLDER = new URL(`./histories/${packageJson.version}/`, import.meta.url);

/** Writes the history of a run into the folder of this version. What is there already is left. */
export async function saveHistory(
  client: WorkflowClient,
  file: string,
  workflowId: string,
  runId: string,
): Promise<void> {
  const history = await client.getHandle(workflowId, runId).fetchHistory();
  // Stack traces hold paths of the machine that recorded them.
  const text = historyToJSON(history).replaceAll(process.cwd(), '/holdfast');
  mkdirSync(FOLDER, { recursive: true });
  const recorded = new URL(file, FOLDER);
  if (!existsSync(recorded)) writeFileSync(recorded, `${text}\n`, { flag: 'wx' });
}
