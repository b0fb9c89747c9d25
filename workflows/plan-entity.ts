import type { Act } from '../model/audit.ts';
import type { RestoreRequest } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { InClusterRequest } from '../model/in-cluster.ts';
import { personIn } from '../model/person.ts';
import type { Discovered } from '../model/pipeline.ts';
import type { RecoveryDecision, RecoveryWindow } from '../model/recovery.ts';
import { timeInId } from '../model/run-id.ts';
import { isSafetyBackup, safetyBackupId } from '../model/safety-backup.ts';
import type { PlanSurvey } from '../model/survey.ts';
import type { Discovery } from '../planning/discovery.ts';
import { readRecoveryRequest } from '../planning/request.ts';
import { type BackupInput, backupWorkflowId, restoreWorkflowId } from './messages.ts';
import {
  type Application,
  BASE_REQUEST,
  type ClosedRequest,
  type PersonsMessage,
  type PlanRequest,
  type PlanState,
  type PlanStatus,
  type Receipt,
  type Refusal,
  type Revision,
  type RunReport,
} from './plan-messages.ts';
import { Refused, readSmall, shortened, splitOptions, theOne } from './plan-request-reading.ts';
import { backupInput, inClusterInput, overwrites, restoreInput } from './plan-run-inputs.ts';

/** How much an entity remembers. All of it is bounded, so that the entity can live for years. */
const AT_MOST = {
  open: 20,
  closed: 20,
  seen: 1_000,
  running: 50,
  refusals: 5,
  measurements: 10,
  acts: 100,
} as const;
const RESTORES_AT_ONCE = 4;
/** Most characters of JSON of all open requests: what an entity carries into its next run must fit into 2 MB, together with its plan. */
const REQUESTS_AT_MOST = 600_000;
/** After schedules could not be written, everything else has its turn for so long. */
const SCHEDULES_AGAIN_MS = 60_000;

/** A run that reports nothing for this long is checked, since it may have been terminated. */
const SILENCE_MS = 2 * 60_000;
/** How often storage is read. It may change without a report: by prunes, verifications and drills, or because a bucket disappears. */
const SURVEY_EVERY_MS = 3_600_000;
/** How often storage is read where the plan has an archive of changes, whose window moves by itself and may stop. */
const SURVEY_OF_ARCHIVE_EVERY_MS = 300_000;

/** What an entity has to do next. The workflow does it and reports the outcome to the entity. */
export type Work =
  | { readonly do: 'schedules'; readonly generation: number }
  | { readonly do: 'decide'; readonly request: PlanRequest }
  | { readonly do: 'backup'; readonly request: PlanRequest; readonly input: BackupInput }
  | { readonly do: 'restore'; readonly request: PlanRequest; readonly input: RestoreRequest }
  | { readonly do: 'goBack'; readonly request: PlanRequest; readonly input: InClusterRequest }
  | { readonly do: 'cancel'; readonly workflowId: string }
  | { readonly do: 'survey' }
  | { readonly do: 'discover' }
  | { readonly do: 'record'; readonly act: Act }
  | { readonly do: 'look'; readonly workflowIds: readonly string[] };

/** The time. In a workflow it comes from the history. */
export interface Clock {
  now(): Date;
}

/** The source of random ids. In a workflow it is seeded from the history. */
export interface Random {
  /** Hex digits. */
  digits(count: number): string;
}

const ZEROS: Random = { digits: (count) => '0'.repeat(count) };

/** The state of an entity that has just been started. @param appliedAt ISO 8601 in UTC */
export function newPlanState(revision: Revision, appliedAt: string): PlanState {
  return {
    hostedOn: revision.taskQueue,
    revision,
    generation: 0,
    appliedAt,
    requests: [],
    closed: [],
    seen: [],
    running: [],
    measurements: [],
    refused: { count: 0, last: [] },
  };
}

/** What differs in runs that an older release began. */
export interface PlanWays {
  /** True: a backup that an archive of changes asks for joins one that already waits. */
  readonly joinsBases?: boolean;
  /** True: for a plan with an archive of changes, storage is read every five minutes instead of every hour. */
  readonly followsArchive?: boolean;
  /** True: work that failed waits, while other work goes on. */
  readonly failuresWait?: boolean;
  /** True: signals for a restore are taken as an older release took them, since what a history holds was taken. Updates are checked before. */
  readonly takesAnyRequest?: boolean;
  /** True: rows alone into databases that are there wait for approval. Asked when it matters, so that entities that live today learn it at once. */
  readonly rowsAsk?: () => boolean;
}

/**
 * One plan over the years: which requests wait, what runs, what was refused, what storage holds. It knows nothing of Temporal. Messages change
 * its state, `nextWork` says what to do next, and the methods in the past tense take the outcome.
 */
export class PlanEntity {
  #current: PlanState;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #ways: PlanWays;
  readonly #heardAtMs = new Map<string, number>();
  #isSurveyDue = true;
  #lookedAtMs: number;
  /** When schedules that could not be written are tried again. */
  #schedulesAgain: { readonly generation: number; readonly atMs: number } | undefined;

  constructor(state: PlanState, clock: Clock, random: Random, ways: PlanWays = {}) {
    this.#current = state;
    this.#ways = ways;
    this.#clock = clock;
    this.#random = random;
    this.#lookedAtMs = clock.now().getTime();
  }

  get state(): PlanState {
    return this.#current;
  }

  get isOver(): boolean {
    return this.#current.isRemoved === true && !this.areSchedulesDue;
  }

  get areSchedulesDue(): boolean {
    return this.#current.schedulesOf !== this.#current.generation;
  }

  get status(): PlanStatus {
    const { revision, generation, appliedAt, running, requests, closed, refused } = this.#current;
    const { lastBackup, lastFailure, survey, surveyFailure, paused } = this.#current;
    return {
      plan: revision.plan.name,
      set: revision.set,
      file: revision.plan.file,
      generation,
      appliedAt,
      pipelineHash: revision.plan.pipeline.hash,
      taskQueue: revision.taskQueue,
      running,
      requests,
      closed,
      refused,
      paused: paused ?? null,
      lastBackup: lastBackup ?? null,
      lastFailure: lastFailure ?? null,
      survey: survey ?? null,
      surveyFailure: surveyFailure ?? null,
      repositoryId: this.#current.repositoryId ?? null,
      strangeRepository: this.#strangeRepository ?? null,
      ...defined({ discovery: this.#current.discovery, discovered: revision.plan.discovered }),
    };
  }

  get #strangeRepository(): string | undefined {
    const { repositoryId, survey } = this.#current;
    if (repositoryId === undefined || survey === undefined || survey.repositoryId === repositoryId)
      return undefined;
    return survey.repositoryId === undefined
      ? `the repository ${repositoryId} has vanished from its place`
      : `the repository is another one: its id is ${survey.repositoryId}, and was ${repositoryId}`;
  }

  get window(): RecoveryWindow {
    return this.#current.survey?.window ?? { instants: [], ranges: [] };
  }

  /**
   * Takes a person's message. Throws `Refused`. A caller that can't answer the sender passes the refusal to `refuse`.
   *
   * @param by who sent it, as Temporal recorded it
   */
  receive(message: PersonsMessage, argument: unknown, by?: string): Receipt {
    switch (message) {
      case 'backup':
        return this.#accept(
          'backup',
          readSmall(argument, ['requestId', 'reason', 'taskQueue']),
          defined({ by }),
        );
      case 'restore':
        return this.#acceptRestore(argument, by);
      case 'approve':
        return this.#approve(readSmall(argument, ['requestId']).requestId, by);
      case 'pause':
        return this.#pause(readSmall(argument, ['reason']).reason);
      case 'resume':
        readSmall(argument, []);
        return this.#resume();
      case 'cancel':
        return this.#cancel(readSmall(argument, ['requestId']).requestId);
    }
  }

  /**
   * Checks a message as `receive` does, without changing anything: for validators of updates. A replay doesn't run validators, so a check must
   * not draw a random number: all ids chosen later would differ.
   */
  check(message: PersonsMessage, argument: unknown, by?: string): void {
    const ways = { ...this.#ways, takesAnyRequest: false };
    new PlanEntity(this.#current, this.#clock, ZEROS, ways).receive(message, argument, by);
  }

  /** Notes what a signal did, for the log of the plan. Commands write there themselves; so a backup, which they don't, isn't noted either. */
  noteAct(
    message: PersonsMessage,
    { outcome, requestId, workflowId }: Receipt,
    act: Pick<Act, 'by' | 'reason'>,
  ): void {
    if (message === 'backup' || outcome !== 'accepted') return;
    const isOfAPlan = message === 'pause' || message === 'resume';
    const noted = { action: message, ...act, ...(isOfAPlan ? {} : { subject: workflowId ?? requestId }) };
    const { acts = [] } = this.#current;
    if (acts.length < AT_MOST.acts) {
      this.#change({ acts: [...acts, noted] });
      return;
    }
    // Those that wait stay: whoever sends many signals must not push an earlier one out of the log.
    this.refuse('audit', {
      code: 'AUDIT_BUSY',
      reason: `the ${message} of ${act.by} is not in the log: ${acts.length} entries wait to be written already`,
      remedy:
        'See why the repository is slow. Temporal has the signal, in the history of the plan’s workflow.',
    });
  }

  /** The first act that was noted is in the log, or can't be written. */
  recorded(): void {
    this.#change({ acts: this.#current.acts?.slice(1) ?? [] });
  }

  refuse(message: string, refusal: Omit<Refusal, 'at' | 'message'>): void {
    const { count, last } = this.#current.refused;
    const recorded = { at: this.#now(), message: shortened(message), ...refusal };
    this.#change({ refused: { count: count + 1, last: [recorded, ...last].slice(0, AT_MOST.refusals) } });
  }

  /** Throws `Refused` where another apply has changed the plan since the caller read it. */
  checkApplication({ after, revision }: Application): void {
    const { generation, isRemoved } = this.#current;
    if (isRemoved) throw new Refused(removed(revision.plan.name));
    const { discovered } = revision.plan;
    if (discovered !== undefined) this.#checkFinder(discovered);
    else if (after !== generation && generation !== 0) {
      throw new Refused({
        code: 'APPLIED_MEANWHILE',
        reason: `plan ${revision.plan.name} was applied from elsewhere meanwhile (generation ${generation}, this change is of ${after})`,
        remedy: 'Run apply again; it shows what there is to change now.',
      });
    }
  }

  /** A plan that another one found is changed by that one alone. */
  #checkFinder({ by, database }: Discovered): void {
    const { name, discovered } = this.#current.revision.plan;
    if (discovered?.by === by && discovered.database === database) return;
    throw new Refused({
      code: 'PLAN_NAME_TAKEN',
      reason: `there is a plan ${name} already, which ${discovered === undefined ? 'has a file of its own' : `plan ${discovered.by} made of the database ${discovered.database}`}`,
      remedy: `Give one of them another name, or exclude the database from plan ${by}.`,
    });
  }

  apply({ revision, newRepository }: Application): number {
    const generation = this.#current.generation + 1;
    const { location } = this.#current.revision.plan.pipeline.repository;
    const isMoved = JSON.stringify(location) !== JSON.stringify(revision.plan.pipeline.repository.location);
    if (isMoved || newRepository === true) {
      const { survey: _survey, surveyFailure: _failure, repositoryId: _id, ...state } = this.#current;
      this.#current = state;
    }
    this.#change({ revision, generation, appliedAt: this.#now() });
    this.#isSurveyDue = true;
    return generation;
  }

  remove(): number {
    const generation = this.#current.generation + 1;
    for (const request of this.#current.requests.filter(({ state }) => state !== 'running')) {
      this.#close(request, 'cancelled', 'the plan was removed');
    }
    this.#change({ generation, isRemoved: true });
    return generation;
  }

  /** Takes the report of a run of the plan. */
  reported(report: RunReport): void {
    const others = this.#current.running.filter(({ workflowId }) => workflowId !== report.workflowId);
    const request = this.#current.requests.find(({ run }) => run.workflowId === report.workflowId);
    if (report.state === 'running') {
      this.#heardAtMs.set(report.workflowId, this.#clock.now().getTime());
      this.#change({ running: [report, ...others].slice(0, AT_MOST.running) });
      if (request !== undefined && request.state !== 'running') this.#update(request, { state: 'running' });
      // A run that no request asked for has begun, so a schedule's next time has changed.
      if (others.length === this.#current.running.length - 1 && request === undefined)
        this.#isSurveyDue = true;
      return;
    }
    this.#heardAtMs.delete(report.workflowId);
    this.#isSurveyDue = true;
    this.#change({ running: others });
    const isBackup = report.kind === 'backup' && !isSafetyBackup(report.id);
    if (report.state === 'done' && isBackup) this.#change({ lastBackup: report });
    if (report.state === 'failed') this.#change({ lastFailure: report });
    if (report.state === 'done' && report.kind === 'restore') this.#measure(report);
    if (request !== undefined) this.#close(request, report.state, report.headline);
  }

  /** Notes that storage has changed or may have changed. */
  surveyIsDue(): void {
    this.#isSurveyDue = true;
  }

  /** The most urgent work. Undefined: there is none until a message arrives or `wakeAfterMs` have passed. */
  nextWork(): Work | undefined {
    const nowMs = this.#clock.now().getTime();
    if (this.areSchedulesDue && this.#schedulesWaitMs(nowMs) <= 0)
      return { do: 'schedules', generation: this.#current.generation };
    if (this.#current.isRemoved) return undefined;
    const [cancelled] = this.#current.cancelling ?? [];
    if (cancelled !== undefined) return { do: 'cancel', workflowId: cancelled };
    const undecided = this.#current.requests.find(({ kind, state }) => kind === 'restore' && state === 'new');
    if (undecided !== undefined) return { do: 'decide', request: undecided };
    const start = this.#nextStart();
    if (start !== undefined) return start;
    // After what was asked for: where storage can't be written, each entry takes minutes, and no restore waits for that.
    const [act] = this.#current.acts ?? [];
    if (act !== undefined) return { do: 'record', act };
    if (this.#isSurveyDue || nowMs - this.#surveyedMs >= this.#surveyEveryMs) return { do: 'survey' };
    if (this.#discoverInMs(nowMs) <= 0) return { do: 'discover' };
    if (this.#silentRuns(nowMs).length > 0 && nowMs - this.#lookedAtMs >= SILENCE_MS) {
      return { do: 'look', workflowIds: this.#silentRuns(nowMs) };
    }
    return undefined;
  }

  /** After how many milliseconds there may be new work although no message came. */
  get wakeAfterMs(): number {
    const waits =
      this.#current.running.length > 0 || this.#current.requests.some(({ state }) => state === 'running');
    const nowMs = this.#clock.now().getTime();
    const usualMs = waits ? SILENCE_MS : this.#surveyEveryMs;
    const schedulesMs = this.areSchedulesDue ? this.#schedulesWaitMs(nowMs) : 0;
    const wakeMs = schedulesMs > 0 ? Math.min(usualMs, schedulesMs) : usualMs;
    return Math.max(1, Math.min(wakeMs, this.#discoverInMs(nowMs)));
  }

  /** When storage was last looked at, NaN if never. A look that failed counts, else the next would follow at once, and so on without end. */
  get #surveyedMs(): number {
    const { survey, surveyFailure } = this.#current;
    const failedAt = this.#ways.failuresWait === true || survey === undefined ? surveyFailure?.at : undefined;
    return Date.parse(failedAt ?? survey?.readAt ?? '');
  }

  #schedulesWaitMs(nowMs: number): number {
    const again = this.#schedulesAgain;
    return again?.generation === this.#current.generation ? again.atMs - nowMs : 0;
  }

  /** After how many milliseconds the plan looks for databases. Infinite where it never does. */
  #discoverInMs(nowMs: number): number {
    const { revision, generation, discovery, paused, isRemoved } = this.#current;
    const { discover } = revision.plan;
    if (discover === undefined || paused !== undefined || isRemoved) return Number.POSITIVE_INFINITY;
    if (discovery?.generation !== generation) return 0;
    const { at, goesOn } = discovery;
    return Date.parse(at) + (goesOn?.inMs ?? discover.everyMs) - nowMs;
  }

  /** Takes what a look for databases found, and what came of it. */
  discovered(discovery: Discovery): void {
    this.#change({ discovery });
  }

  /** Forgets a database whose plan is removed since it is gone, so that the plan is not made anew. One that is there, or comes back, is found again. */
  forget(database: string): void {
    const { discovery } = this.#current;
    if (discovery === undefined) return;
    const members = discovery.members.filter((member) => member.database !== database);
    this.#change({ discovery: { ...discovery, members } });
  }

  get #surveyEveryMs(): number {
    const { pointTime } = this.#current.revision.plan;
    const follows = this.#ways.followsArchive === true && pointTime?.archive !== undefined;
    return follows ? SURVEY_OF_ARCHIVE_EVERY_MS : SURVEY_EVERY_MS;
  }

  schedulesReconciled(generation: number): void {
    this.#change({ schedulesOf: generation });
    this.#isSurveyDue = true;
  }

  /**
   * Notes that schedules could not be written. They are tried again after a pause, and everything else goes on: what keeps them from being written (a universe
   * that is down) may be why people want to restore. Returns false where the caller waits, as in runs that an older release began.
   */
  schedulesFailed(): boolean {
    if (this.#ways.failuresWait !== true) return false;
    const atMs = this.#clock.now().getTime() + SCHEDULES_AGAIN_MS;
    this.#schedulesAgain = { generation: this.#current.generation, atMs };
    return true;
  }

  /** @param has whether the plan has an archive of changes now. */
  archiveReconciled(has: boolean): void {
    this.#change({ hasArchive: has });
  }

  decided({ requestId }: PlanRequest, decision: RecoveryDecision, databases: readonly string[] = []): void {
    const request = this.#current.requests.find((each) => each.requestId === requestId);
    // The request was cancelled meanwhile.
    if (request === undefined) return;
    if (decision.kind === 'refused') {
      const { code, reason, remedy, before, after } = decision;
      const nearest = {
        ...defined({ before, after }),
      };
      this.refuseRequest(request, { code, reason, remedy, ...nearest });
      return;
    }
    const into = request.wish?.into;
    if (typeof into === 'string' && databases.length > 1) {
      this.refuseRequest(request, {
        code: 'BAD_REQUEST',
        reason: `"into": "${into}" does not say which database it is for; it is about ${databases.join(', ')}`,
        remedy: `Write e.g. "into": {"${databases[0]}": "${into}"}.`,
      });
      return;
    }
    this.#update(request, {
      decision,
      databases,
      state: this.#asks(request) ? 'awaiting-approval' : 'ready',
    });
  }

  /** Closes a request that can't be carried out; records and counts the refusal and shows it on the page. */
  refuseRequest(request: PlanRequest, refusal: Omit<Refusal, 'at' | 'message'>): void {
    this.refuse(request.kind, refusal);
    this.#close(request, 'refused', `${refusal.reason}. ${refusal.remedy}`);
  }

  /** Notes that the run of a request exists. From now on the run reports its own progress. */
  started({ requestId }: PlanRequest): void {
    const request = this.#current.requests.find((each) => each.requestId === requestId);
    if (request === undefined) return;
    this.#heardAtMs.set(request.run.workflowId, this.#clock.now().getTime());
    this.#update(request, { state: 'running' });
  }

  cancelled(workflowId: string): void {
    const left = (this.#current.cancelling ?? []).filter((each) => each !== workflowId);
    this.#change({ cancelling: left });
  }

  /** @param generation the plan's when the survey began. Ignored if the plan was applied since, perhaps to another repository. */
  surveyed(survey: PlanSurvey, generation = this.#current.generation): void {
    if (generation !== this.#current.generation) return;
    this.#isSurveyDue = false;
    const before = this.#strangeRepository;
    const { surveyFailure: _, ...state } = this.#current;
    const repositoryId = state.repositoryId ?? state.survey?.repositoryId ?? survey.repositoryId;
    this.#current = { ...state, survey, ...defined({ repositoryId }) };
    const reason = this.#strangeRepository;
    if (reason === undefined || reason === before) return;
    this.refuse('survey', {
      code: 'ANOTHER_REPOSITORY',
      reason,
      remedy:
        'Check bucket, prefix or mount; the backups of before are not there. Where that is meant: holdfast apply --new-repository.',
    });
  }

  surveyFailed(reason: string): void {
    this.#isSurveyDue = false;
    this.#change({ surveyFailure: { at: this.#now(), reason } });
  }

  /** Notes that Temporal could not be asked for runs. They are looked for again after a pause. */
  lookFailed(): void {
    this.#lookedAtMs = this.#clock.now().getTime();
  }

  /** Takes runs that reported no end and that, by Temporal's account, have ended. */
  looked(gone: readonly { readonly workflowId: string; readonly ending: string }[]): void {
    this.#lookedAtMs = this.#clock.now().getTime();
    for (const { workflowId, ending } of gone) {
      const running = this.#current.running.find((each) => each.workflowId === workflowId);
      const request = this.#current.requests.find(({ run }) => run.workflowId === workflowId);
      const headline = `${workflowId} ended without a word (${ending})`;
      if (running !== undefined) {
        this.reported({ ...running, state: 'failed', headline: headline, endedAt: this.#now() });
      } else if (request !== undefined) this.#close(request, 'failed', headline);
    }
  }

  /** Whether a restore waits for a person: one that asks for that itself, and one that overwrites unless the plan says otherwise. */
  #asks(request: PlanRequest): boolean {
    const { wish } = request;
    if (wish?.approval === 'required') return true;
    if (this.#current.revision.plan.restore?.approval === 'none' || !overwrites(request)) return false;
    return wish?.replace === true || this.#ways.rowsAsk?.() === true;
  }

  #acceptRestore(argument: unknown, by: string | undefined): Receipt {
    const { takesAnyRequest } = this.#ways;
    const { options, wish } = splitOptions(argument, takesAnyRequest);
    const reading = readRecoveryRequest(wish, takesAnyRequest);
    if ('refusal' in reading) {
      const { code, reason, remedy } = reading.refusal;
      throw new Refused({ code, reason, remedy });
    }
    const { request } = reading;
    const { requestId, reason } = request;
    return this.#accept(
      'restore',
      { requestId, reason },
      {
        ...{ wish: request, ...(options && { options }) },
        ...defined({ by }),
      },
    );
  }

  #accept(
    kind: PlanRequest['kind'],
    { requestId, reason, taskQueue }: Readonly<Partial<Record<string, string>>>,
    more: Pick<PlanRequest, 'wish' | 'options' | 'by'> = {},
  ): Receipt {
    const { requests, seen, closed, isRemoved, revision } = this.#current;
    if (isRemoved) throw new Refused(removed(revision.plan.name));
    const known = requests.find((each) => each.requestId === requestId);
    if (known !== undefined) {
      return receiptOf(known.requestId, 'known', 'it acts already', known.run.workflowId);
    }
    if (requestId !== undefined && seen.includes(requestId)) {
      const past = closed.find((each) => each.requestId === requestId);
      return receiptOf(requestId, 'known', past?.told ?? 'it has acted', past?.workflowId);
    }
    // A request for a backup without an id joins a backup that already waits. So does an archive's request for a base, which it sends for each
    // database: a backup holds all of the plan's databases, and a waiting one will read each after that database's timeline began.
    const waiting = requests.find((each) => each.kind === 'backup' && each.state === 'new');
    const joins =
      requestId === undefined || (this.#ways.joinsBases === true && requestId.startsWith(BASE_REQUEST));
    if (kind === 'backup' && joins && waiting !== undefined) {
      if (requestId !== undefined) this.#change({ seen: [...seen, requestId].slice(-AT_MOST.seen) });
      return receiptOf(waiting.requestId, 'known', 'a backup waits already', waiting.run.workflowId);
    }
    if (requests.length >= AT_MOST.open) {
      throw new Refused({
        code: 'TOO_MANY_REQUESTS',
        reason: `${requests.length} requests wait or run already`,
        remedy: 'Wait for them, or cancel some: {"requestId": "…"}; the status lists them.',
      });
    }
    const at = this.#clock.now();
    const time = timeInId(at.toISOString());
    const id =
      kind === 'backup'
        ? `${time}-${this.#random.digits(6)}`
        : `${time.toLowerCase()}_${this.#random.digits(4)}`;
    const plan = revision.plan.name;
    const workflowId = kind === 'backup' ? backupWorkflowId(plan, id) : restoreWorkflowId(plan, id);
    const options = taskQueue === undefined ? more.options : { ...more.options, taskQueue };
    const request: PlanRequest = {
      requestId: requestId ?? id,
      kind,
      at: at.toISOString(),
      state: 'new',
      run: { id, workflowId },
      ...defined({ reason, by: more.by, wish: more.wish, options }),
    };
    const isBounded = this.#ways.takesAnyRequest !== true;
    if (isBounded && JSON.stringify([...requests, request]).length > REQUESTS_AT_MOST) {
      throw new Refused({
        code: 'BAD_REQUEST',
        reason: 'the request is too large, alone or together with those that wait already',
        remedy: 'Name tables by patterns ("public.*"), or wait until others have ended.',
      });
    }
    this.#change({ requests: [...requests, request] });
    if (requestId !== undefined) this.#change({ seen: [...seen, requestId].slice(-AT_MOST.seen) });
    return receiptOf(request.requestId, 'accepted', `${kind} ${id} is accepted`, workflowId);
  }

  #approve(requestId: string | undefined, by: string | undefined): Receipt {
    const waiting = this.#current.requests.filter(({ state }) => state === 'awaiting-approval');
    const request = theOne(waiting, requestId, 'waits for approval');
    if (this.#current.revision.plan.restore?.approval === 'two-people') requireTwoPeople(request, by);
    this.#update(request, { state: 'ready', ...defined({ approvedBy: by }) });
    return receiptOf(request.requestId, 'accepted', 'it is approved', request.run.workflowId);
  }

  #pause(reason: string | undefined): Receipt {
    if (this.#current.paused !== undefined) return receiptOf('pause', 'known', 'it is paused already');
    const paused = { at: this.#now(), ...defined({ reason }) };
    this.#change({ paused, generation: this.#current.generation + 1 });
    return receiptOf('pause', 'accepted', 'no scheduled run until resume');
  }

  #resume(): Receipt {
    if (this.#current.paused === undefined) return receiptOf('resume', 'known', 'it is not paused');
    const { paused: _, ...state } = this.#current;
    this.#current = { ...state, generation: state.generation + 1 };
    return receiptOf('resume', 'accepted', 'scheduled runs again');
  }

  #cancel(requestId: string | undefined): Receipt {
    const { requests, running } = this.#current;
    const strays = running
      .filter(({ workflowId }) => !requests.some(({ run }) => run.workflowId === workflowId))
      .map(({ workflowId }) => ({ requestId: workflowId, run: { workflowId }, state: 'running' as const }));
    const target = theOne([...requests, ...strays], requestId, 'waits or runs');
    const { workflowId } = target.run;
    if (target.state === 'running') {
      const { cancelling = [] } = this.#current;
      if (!cancelling.includes(workflowId)) this.#change({ cancelling: [...cancelling, workflowId] });
      return receiptOf(target.requestId, 'accepted', 'its run is being cancelled', workflowId);
    }
    const request = requests.find((each) => each.requestId === target.requestId);
    if (request !== undefined) this.#close(request, 'cancelled', 'it was cancelled before it began');
    return receiptOf(target.requestId, 'accepted', 'it will not begin', workflowId);
  }

  #nextStart(): Work | undefined {
    const { requests, running, revision } = this.#current;
    const open = (kind: PlanRequest['kind'], overwrites?: boolean) =>
      requests.filter(
        (each) =>
          each.kind === kind &&
          each.state === 'running' &&
          (overwrites === undefined || (each.wish?.replace === true) === overwrites),
      ).length;
    for (const request of requests) {
      if (request.kind === 'backup' && request.state === 'new') {
        const isBusy = open('backup') > 0 || running.some(({ kind }) => kind === 'backup');
        if (!isBusy) {
          return { do: 'backup', request, input: backupInput(revision.plan, request) };
        }
      }
      if (request.kind === 'restore' && request.state === 'ready') {
        const overwrites = request.wish?.replace === true;
        const isBusy = overwrites ? open('restore', true) > 0 : open('restore') >= RESTORES_AT_ONCE;
        if (!isBusy) return this.#restoreWork(request);
      }
    }
    return undefined;
  }

  #restoreWork(request: PlanRequest): Work {
    const { plan } = this.#current.revision;
    const goBack = inClusterInput(plan, request);
    if (goBack !== undefined) return { do: 'goBack', request, input: goBack };
    return { do: 'restore', request, input: restoreInput(plan, request, () => this.#safetyId()) };
  }

  #safetyId(): string {
    const time = timeInId(this.#now());
    return safetyBackupId(`${time}-${this.#random.digits(6)}`);
  }

  #silentRuns(nowMs: number): readonly string[] {
    const runs = new Set(this.#current.running.map(({ workflowId }) => workflowId));
    for (const { state, run } of this.#current.requests) if (state === 'running') runs.add(run.workflowId);
    return [...runs].filter((run) => nowMs - (this.#heardAtMs.get(run) ?? 0) >= SILENCE_MS);
  }

  #measure({ startedAt, endedAt, result }: RunReport): void {
    if (endedAt === undefined || result === undefined || result.bytes === 0) return;
    const measured = { bytes: result.bytes, durationMs: Date.parse(endedAt) - Date.parse(startedAt) };
    this.#change({ measurements: [measured, ...this.#current.measurements].slice(0, AT_MOST.measurements) });
  }

  #update({ requestId }: PlanRequest, changes: Partial<PlanRequest>): void {
    this.#change({
      requests: this.#current.requests.map((each) =>
        each.requestId === requestId ? { ...each, ...changes } : each,
      ),
    });
  }

  #close(request: PlanRequest, outcome: ClosedRequest['outcome'], told: string): void {
    const { requestId, kind, at, run } = request;
    const closed = {
      requestId,
      kind,
      at,
      closedAt: this.#now(),
      outcome,
      workflowId: run.workflowId,
      told: told.length > 600 ? `${told.slice(0, 600)}…` : told,
    };
    this.#change({
      requests: this.#current.requests.filter((each) => each.requestId !== requestId),
      closed: [closed, ...this.#current.closed].slice(0, AT_MOST.closed),
    });
  }

  #change(changes: Partial<PlanState>): void {
    this.#current = { ...this.#current, ...changes };
  }

  #now(): string {
    return this.#clock.now().toISOString();
  }
}

/** Throws `Refused` where the person who approves asked for the restore, or where it isn't known who one of them is. */
function requireTwoPeople({ requestId, by: asker }: PlanRequest, approver: string | undefined): void {
  const [asked, approves] = [personIn(asker), personIn(approver)];
  if (asked !== undefined && approves !== undefined && asked !== approves) return;
  const unknown =
    asked === undefined
      ? `who asked for ${requestId} is not known (${asker ?? 'no name came with it'})`
      : `who approves ${requestId} is not known (${approver ?? 'no name came with it'})`;
  throw new Refused({
    code: 'APPROVAL_OWN_REQUEST',
    reason:
      asked === approves && asked !== undefined
        ? `${approver} asked for ${requestId} (${asker}), and of this plan whoever asks can't approve`
        : `${unknown}, and of this plan whoever asks can't approve`,
    remedy:
      asked === undefined
        ? 'Cancel it and ask again by the command, which gives a name: holdfast restore.'
        : 'Have another person approve it, by holdfast approve under an account of his own.',
  });
}

function receiptOf(
  requestId: string,
  outcome: Receipt['outcome'],
  told: string,
  workflowId?: string,
): Receipt {
  return { requestId, outcome, told, ...defined({ workflowId }) };
}

function removed(plan: string): Omit<Refusal, 'at' | 'message'> {
  return {
    code: 'PLAN_REMOVED',
    reason: `plan ${plan} is being removed`,
    remedy: 'Apply it again once it is gone.',
  };
}
