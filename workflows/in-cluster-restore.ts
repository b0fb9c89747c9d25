import { ApplicationFailure, isCancellation } from '@temporalio/workflow';
import type { InClusterCheck, InClusterRequest, InClusterSummary } from '../model/in-cluster.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Board } from './board.ts';
import { describeFailure } from './failures.ts';
import type { RestoreStage } from './progress.ts';
import { Reporter } from './reporter.ts';
import { Turn } from './turn.ts';

const DAY_MS = 24 * 3_600_000;
const REWIND: readonly RestoreStage[] = ['plan', 'turn', 'safety', 'restoration', 'finish'];
const CLONE: readonly RestoreStage[] = ['plan', 'restoration', 'finish'];

/**
 * Takes databases to an instant by the universe's own history, without a backup: a rewind in place, alone at its source, after
 * writes have stopped and a snapshot of what is there was made; or a clone beside. Nothing is undone when it fails half-way: the
 * message says what was done, and the safety snapshot holds what was there.
 */
export async function inClusterRestore(request: InClusterRequest): Promise<InClusterSummary> {
  const { plan, restore, way, instant, databases } = request;
  const names = databases.map(({ from, to }) => (from === to ? from : `${from} → ${to}`)).join(', ');
  const stages = way === 'rewind' ? REWIND : CLONE;
  const title = `${way === 'rewind' ? 'Rewind' : 'Clone'} ${restore} of ${plan} to ${instant}`;
  const board = new Board(
    title,
    stages.map((id) => ({ id, verb: id })),
  );
  const stage = async <T>(id: RestoreStage, work: () => Promise<T>): Promise<T> => {
    board.start(id);
    try {
      const result = await work();
      board.end(id, 'done');
      return result;
    } catch (error) {
      board.end(id, isCancellation(error) ? 'cancelled' : 'failed', describeFailure(error).message);
      throw error;
    }
  };
  const turn = new Turn({
    source: request.source,
    mode: 'alone',
    title,
    onWait: (gate) =>
      board.note('turn', { note: `waits for backups and restores of the same source (${gate})` }),
  });
  const report = new Reporter(plan, { kind: 'restore', id: restore, overwrites: way === 'rewind' });
  board.onMilestone = (headline) => report.running(headline);
  let safetySnapshots: Readonly<Record<string, string>> = {};
  let begun = 0;
  let done = 0;
  const notes = new Set<string>();
  try {
    // Histories of older workers have no answer here.
    const checked: InClusterCheck | undefined = await stage('plan', () =>
      call('check schedules, names and writers').checkInCluster({ request }),
    );
    board.note('plan', { note: names });
    if (way === 'rewind') {
      await stage('turn', () => turn.take());
      safetySnapshots = await stage('safety', () => save(request, board));
    }
    await stage('restoration', async () => {
      for (const [database, { from }] of databases.entries()) {
        begun = database + 1;
        const told = await call(`${way} ${from}`).goBackInCluster({ request, database });
        for (const note of told ?? []) notes.add(note);
        done = database + 1;
      }
    });
    const found = await stage('finish', () =>
      call('what is left to do by hand').choresInCluster({ request }),
    );
    const chores = [...(checked?.broken ?? []), ...found];
    board.note('finish', { note: chores.length === 0 ? 'nothing is left to do by hand' : chores.join(' ') });
    const told = [...notes];
    if (told.length > 0) board.note('restoration', { note: told.join(' ') });
    const headline = [
      `${names}: the data of ${instant}${way === 'rewind' ? ', in place' : ''}`,
      ...told,
    ].join('. ');
    board.conclude('done', headline);
    await report.ended({ state: 'done', headline });
    return {
      ...{ plan, restore, way, instant, databases, safetySnapshots, chores },
      ...(told.length === 0 ? {} : { notes: told }),
    };
  } catch (error) {
    const failure = describeFailure(error);
    const kept = Object.entries(safetySnapshots).map(([name, id]) => `${name}: ${id}`);
    const told =
      kept.length === 0 ? '' : ` What was there before is in the universe's snapshots (${kept.join(', ')}).`;
    const message = `${failure.message}${stateOfEach(request, begun, done)}${told}`;
    const state = isCancellation(error) ? 'cancelled' : 'failed';
    board.conclude(state, message);
    await report.ended({ state, headline: message });
    if (isCancellation(error)) throw error;
    throw ApplicationFailure.create({
      type: failure.code,
      message,
      nonRetryable: true,
      ...(error instanceof Error ? { cause: error } : {}),
    });
  } finally {
    await turn.end();
  }
}

/** Several databases are gone back one after another: a failure between them leaves them at different times, and says which is where. */
function stateOfEach({ databases, way, instant }: InClusterRequest, begun: number, done: number): string {
  if (databases.length < 2 || begun === 0) return '';
  const names = (from: number, to: number) => databases.slice(from, to).map(({ from: name }) => name);
  const [there, between, before] = [names(0, done), names(done, begun), names(begun, databases.length)];
  const parts = [
    ...(there.length === 0 ? [] : [`${there.join(', ')}: at ${instant}`]),
    ...(between.length === 0 ? [] : [`${between.join(', ')}: not known, its ${way} had begun`]),
    ...(before.length === 0 ? [] : [`${before.join(', ')}: as before`]),
  ];
  return ` ${parts.join('; ')}. The same request again takes each of them to that instant.`;
}

async function save(request: InClusterRequest, board: Board): Promise<Readonly<Record<string, string>>> {
  if (!request.safetySnapshot) {
    board.note('safety', { note: 'none: the request says no' });
    return {};
  }
  const saved = await call('snapshot of what is there').saveInCluster({ request });
  const told = Object.entries(saved).map(([name, id]) => `${name} in snapshot ${id}`);
  board.note('safety', { note: `${told.join(', ')}, kept by the universe for three days` });
  return saved;
}

function call(summary: string) {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: DAY_MS });
}
