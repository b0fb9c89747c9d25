import { defined } from '../../model/defined.ts';
import { messageOf } from '../../model/errors.ts';
import { EXTERNAL_SERVER } from '../support/servers.ts';
import { EXTERNAL_YCQL } from '../ycql/server.ts';
import { runSuite, type SuiteOutcome } from './acceptance.ts';
import type { Cluster } from './cluster.ts';
import { EXTERNAL_MASTERS } from './external.ts';
import type { Facts } from './facts.ts';
import { type KillOutcome, killDuringRuns } from './kills.ts';
import { type Answer, askAll } from './questions.ts';
import { killDuringUniverseRuns } from './universe-kills.ts';
import type { Version } from './versions.ts';

export const PARTS = ['acceptance', 'kills', 'questions'] as const;
export type Part = (typeof PARTS)[number];

export interface LineOptions {
  readonly version: Version;
  readonly parts: readonly Part[];
  /** Holdfast's version. */
  readonly holdfast: string;
  /** Of the table that is backed up while tablet servers are killed. */
  readonly rows: number;
  /** As `KillOptions.bytesPerSecond`. */
  readonly bytesPerSecond?: string;
  /** Of the acceptance tests; all where it isn't said. */
  readonly suites?: readonly string[];
  /** Arguments for Jest. */
  readonly jest: readonly string[];
  readonly say: (line: string) => void;
  readonly start: (say: (line: string) => void) => Promise<Cluster>;
}

/** Everything that is to be found out of one release line. A part that can't be run is told in `problems`, and the others run all the same. */
export async function runLine(options: LineOptions): Promise<Facts> {
  const { version, parts, holdfast, say } = options;
  const suites: SuiteOutcome[] = [];
  const kills: KillOutcome[] = [];
  const answers: Answer[] = [];
  const problems: string[] = [];
  let cluster: Cluster | undefined;
  try {
    cluster = await options.start(say);
    // The programs are found by whoever asks for them in this process too.
    Object.assign(process.env, cluster.environment);
    for (const part of parts) {
      say(`${part} …`);
      try {
        if (part === 'acceptance') {
          for (const [suite, environment] of suitesFor(cluster)) {
            if (options.suites?.includes(suite) === false) continue;
            const outcome = await runSuite(suite, environment, options.jest);
            say(`${suite}: ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped`);
            suites.push(outcome);
          }
        } else if (part === 'kills') {
          const { rows, bytesPerSecond } = options;
          for (const killAll of [killDuringRuns, killDuringUniverseRuns]) {
            const outcomes = await killAll(cluster, { rows, say, ...defined({ bytesPerSecond }) });
            for (const { engine = 'ysql', killed = 'tablet server', during, survived, detail } of outcomes) {
              say(`${engine}: a ${killed} killed during a ${during}: ${survived ? 'survived' : detail}`);
            }
            kills.push(...outcomes);
          }
        } else {
          answers.push(...(await askAll(cluster, say)));
        }
      } catch (error) {
        problems.push(`${part}: ${messageOf(error)}`);
      }
    }
  } catch (error) {
    problems.push(messageOf(error));
  } finally {
    await cluster?.stop();
  }
  return {
    format: 1,
    line: version.line,
    what: cluster?.what ?? version.image,
    kind: cluster?.kind ?? 'docker',
    at: new Date().toISOString(),
    holdfast,
    suites,
    kills,
    answers,
    problems,
  };
}

/** The acceptance tests with the servers that each is to use. */
function suitesFor(
  cluster: Cluster,
): readonly (readonly [suite: string, environment: Record<string, string>])[] {
  const ysql = { ...cluster.environment, [EXTERNAL_SERVER]: cluster.ysql('yugabyte') };
  const universe = {
    ...ysql,
    [EXTERNAL_MASTERS]: cluster.masters.join(','),
  };
  return [
    ['test/ysql', ysql],
    ...(cluster.ycql === undefined
      ? []
      : [['test/ycql/yugabytedb', { ...cluster.environment, [EXTERNAL_YCQL]: cluster.ycql }] as const]),
    ['test/universe/real', universe],
  ];
}
