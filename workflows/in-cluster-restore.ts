import { defined } from '../model/defined.ts';
import type { InClusterCheck, InClusterRequest, InClusterSummary } from '../model/in-cluster.ts';
import { patiently } from './activity-proxies.ts';
import type { RestoreStage } from './progress.ts';
import { RunFrame, stepsOf } from './run-frame.ts';
import type { RunProgress } from './run-progress.ts';

const REWIND: readonly RestoreStage[] = ['plan', 'turn', 'safety', 'restoration', 'finish'];
const CLONE: readonly RestoreStage[] = ['plan', 'restoration', 'finish'];

/**
 * Brings databases to an instant by the universe's own history, without a backup. It either rewinds in place or clones into new
 * databases. A rewind holds the source alone, begins after writers have stopped, and first takes a safety snapshot of what is there. A
 * failure half-way undoes nothing: the message says what was done, and the safety snapshot holds the earlier state.
 */
export async function inClusterRestore({
  notify,
  labels,
  ...request
}: InClusterRequest): Promise<InClusterSummary> {
  const { plan, restore, way, instant, databases } = request;
  const isRewind = way === 'rewind';
  const names = databases.map(({ from, to }) => (from === to ? from : `${from} → ${to}`)).join(', ');
  const title = `${isRewind ? 'Rewind' : 'Clone'} ${restore} of ${plan} to ${instant}`;
  const frame = new RunFrame({
    title,
    steps: stepsOf(isRewind ? REWIND : CLONE),
    lease: {
      source: request.source,
      mode: 'alone',
      title,
      waitsFor: 'backups and restores of the same source',
    },
    report: { plan, kind: 'restore', id: restore, overwrites: isRewind },
    news: { kind: 'restore', plan, ...defined({ notify, labels }) },
  });
  const { progress } = frame;
  let safetySnapshots: Readonly<Record<string, string>> = {};
  let begun = 0;
  let done = 0;
  const notes = new Set<string>();

  const work = async (): Promise<InClusterSummary> => {
    // In a history of an older worker this activity returned nothing.
    const checked: InClusterCheck | undefined = await frame.stage(
      'plan',
      () => patiently('check schedules, names and writers').checkInCluster({ request }),
      () => names,
    );
    if (isRewind) {
      await frame.stage('turn', () => frame.takeLease());
      safetySnapshots = await frame.stage('safety', () => save(request, progress));
    }
    await frame.stage('restoration', async () => {
      for (const [database, { from }] of databases.entries()) {
        begun = database + 1;
        const known = await patiently(`${way} ${from}`).goBackInCluster({ request, database });
        for (const note of known ?? []) notes.add(note);
        done = database + 1;
      }
    });
    const chores = await frame.stage(
      'finish',
      async () => [
        ...(checked?.broken ?? []),
        ...(await patiently('what is left to do by hand').choresInCluster({ request })),
      ],
      (left) => (left.length === 0 ? 'nothing is left to do by hand' : left.join(' ')),
    );
    if (notes.size > 0) progress.note('restoration', { note: [...notes].join(' ') });
    return {
      plan,
      restore,
      way,
      instant,
      databases,
      safetySnapshots,
      chores,
      ...(notes.size === 0 ? {} : { notes: [...notes] }),
    };
  };

  return frame.run({
    work,
    end: () => ({
      headline: [`${names}: the data of ${instant}${isRewind ? ', in place' : ''}`, ...notes].join('. '),
    }),
    failure: (reason) => {
      const message = `${reason.message}${stateOfEach(request, begun, done)}${whereItWas(safetySnapshots)}`;
      return { headline: message, message };
    },
  });
}

function whereItWas(safetySnapshots: Readonly<Record<string, string>>): string {
  const kept = Object.entries(safetySnapshots).map(([name, id]) => `${name}: ${id}`);
  return kept.length === 0
    ? ''
    : ` What was there before is in the universe's snapshots (${kept.join(', ')}).`;
}

/** Says how far a run with several databases came, where it failed after it had begun. The databases are then at different times. */
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

async function save(
  request: InClusterRequest,
  progress: RunProgress,
): Promise<Readonly<Record<string, string>>> {
  if (!request.safetySnapshot) {
    progress.note('safety', { note: 'none: the request says no' });
    return {};
  }
  const saved = await patiently('snapshot of what is there').saveInCluster({ request });
  const snapshots = Object.entries(saved).map(([name, id]) => `${name} in snapshot ${id}`);
  progress.note('safety', { note: `${snapshots.join(', ')}, kept by the universe for three days` });
  return saved;
}
