import type { Artifact, Verb } from '../model/pipeline.ts';

/** What a verb consumes and produces (the types of the step graph), and the defaults of its settings. */
export interface VerbSignature {
  readonly consumes: readonly Artifact[];
  readonly produces?: Artifact;
  /** True: a plan may use the verb only once, since a backup has one read point, one work list and one manifest. */
  readonly once: boolean;
  readonly summary: string;
  /** As a plan would write them. */
  readonly defaults: {
    readonly timeout: string;
    readonly parallelism: number;
    readonly retry: {
      readonly maximumAttempts: number;
      readonly initialInterval: string;
      readonly maximumInterval: string;
    };
  };
  /** How many activities of the step can run at once; 1 for a verb that is one activity. */
  readonly maxParallelism: number;
}

/** The retries of a step, unless its plan says otherwise. The step's timeout ends them too. */
const STEP_RETRY = { maximumAttempts: 20, initialInterval: '1s', maximumInterval: '1m' } as const;

export const VERBS: Readonly<Record<Verb, VerbSignature>> = {
  flush: {
    consumes: [],
    once: false,
    summary: 'Brings the source to rest: waits, bounded, for changes of the schema under way to end.',
    defaults: { timeout: '15m', parallelism: 1, retry: STEP_RETRY },
    maxParallelism: 1,
  },
  snapshot: {
    consumes: [],
    produces: 'readPoint',
    once: true,
    summary: 'Pins the read point: the one instant that every later step reads.',
    defaults: { timeout: '15m', parallelism: 1, retry: STEP_RETRY },
    maxParallelism: 1,
  },
  export: {
    consumes: ['readPoint'],
    produces: 'workList',
    once: true,
    summary: 'Writes the schema into the repository and cuts the tables into chunks.',
    // A dump of the schema alone took 80 minutes on a cluster with 67,000 tables (yugabyte-db issue 14986).
    defaults: { timeout: '6h', parallelism: 1, retry: STEP_RETRY },
    maxParallelism: 1,
  },
  upload: {
    consumes: ['workList'],
    produces: 'backup',
    once: true,
    summary: 'Streams every chunk into the repository and, at the end, writes the manifest.',
    defaults: { timeout: '3d', parallelism: 2, retry: STEP_RETRY },
    maxParallelism: 64,
  },
  verify: {
    consumes: ['backup'],
    once: false,
    summary: 'Checks the backup in the repository and records the verdict.',
    defaults: { timeout: '3d', parallelism: 2, retry: STEP_RETRY },
    maxParallelism: 64,
  },
  copy: {
    consumes: ['backup'],
    once: false,
    summary: 'Copies the backup to a second repository.',
    defaults: { timeout: '3d', parallelism: 2, retry: STEP_RETRY },
    maxParallelism: 64,
  },
  sql: {
    consumes: [],
    once: false,
    summary:
      'Runs one statement on the source. After a crash it may run again, so write it so that this does no harm.',
    defaults: {
      timeout: '1h',
      parallelism: 1,
      retry: { maximumAttempts: 3, initialInterval: '1s', maximumInterval: '1m' },
    },
    maxParallelism: 1,
  },
  http: {
    consumes: [],
    once: false,
    summary: 'Calls a webhook with the state of the backup as JSON.',
    defaults: {
      timeout: '15m',
      parallelism: 1,
      retry: { maximumAttempts: 10, initialInterval: '1s', maximumInterval: '1m' },
    },
    maxParallelism: 1,
  },
};

export const VERB_NAMES = Object.keys(VERBS) as readonly Verb[];

/** Artifacts in words, for messages. */
export const ARTIFACT_IN_WORDS: Readonly<Record<Artifact, string>> = {
  readPoint: 'a read point',
  workList: 'a work list',
  backup: 'a backup',
};

/** The verb that gives an artifact. */
export function producerOf(artifact: Artifact): Verb {
  const found = VERB_NAMES.find((verb) => VERBS[verb].produces === artifact);
  if (found === undefined) throw new TypeError(`no verb produces ${artifact}`);
  return found;
}
