import { findRun, type Run } from './find-run.ts';
import { readRun } from './logs/read-run.ts';
import type { RunEvent } from './logs/run-events.ts';
import type { RunPlace } from './runs.ts';

/** What happened in a run. Field names are those of `logs --json`. */
export type RunLog = Run & {
  /** Of the run and its parts, in order. */
  readonly events: readonly RunEvent[];
};

/** @param planName the plan that `run` means where it is no workflow id: its newest run is read */
export async function readLog(
  place: Pick<RunPlace, 'client' | 'tell'>,
  run: string,
  planName: () => Promise<string>,
): Promise<RunLog> {
  const found = await findRun(place, run, planName, 'any');
  return { ...found, events: await readRun(place.client, found.workflowId) };
}
