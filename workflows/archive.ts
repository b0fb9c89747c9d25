import {
  allHandlersFinished,
  CancellationScope,
  condition,
  continueAsNew,
  getExternalWorkflowHandle,
  isCancellation,
  log,
  patched,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities, ArchiveInput } from '../activities/contract.ts';
import type { TimelineEnd } from '../model/archive.ts';
import { defined } from '../model/defined.ts';
import type { EventName } from '../model/notification.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, PATIENT_RETRY, patiently } from './activity-proxies.ts';
import {
  type ArchiveState,
  archiveEnded,
  archiveQueue,
  archiveState,
  archiveWanted,
  type DatabaseState,
} from './archive-messages.ts';
import { describeFailure } from './failures.ts';
import { sendNotification } from './notify.ts';
import { BASE_REQUEST, personsSignal, planWorkflowId } from './plan-messages.ts';
import { type CarriedFailures, StandingFailures } from './standing-failures.ts';

/** After this time the workflow goes on in a new run, so that histories stay short and databases created meanwhile are found. */
const RUN_MS = DAY_MS;
/** A run goes on in a new one after so many events beside those of opening. Temporal ends a workflow of some 50,000 events or 50 MB. */
const HISTORY_EVENTS = 4_000;
/** The most events that opening one database takes, with its base's request, its failure and what tells of it. */
const EVENTS_TO_OPEN = 25;
const HISTORY_EVENTS_AT_MOST = 40_000;
const HISTORY_BYTES_AT_MOST = 30 * 1024 ** 2;
/** The time limit of a stream's activity. It is longer than a run, so it never ends a stream. */
const STREAM_AT_MOST_MS = 2 * DAY_MS;
/** Pause after a failure that a retry can't mend, in a run that an older release began. */
const AFTER_FAILURE_MS = 60_000;
/** The pause before the end of an archive is tried again, doubling from first to longest, and for how long it is tried. */
const FIRST_END_AGAIN_MS = 5_000;
const LONGEST_END_AGAIN_MS = 600_000;
/** The longest pause is at least this for each database that could not be closed: a try writes some six events for each, of which a week's history takes 40,000. */
const LONGEST_END_AGAIN_EACH_MS = 120_000;
const END_TRIED_FOR_MS = 7 * DAY_MS;
const TEXT_AT_MOST = 200;

/** What a run hands to the next one. It is no part of `ArchiveInput`, which says what the plan wants, and is compared with what it wanted before. */
interface Carried {
  readonly failures?: CarriedFailures;
  /** The databases that were archived. */
  readonly known?: readonly string[];
}

/**
 * Keeps the archive of changes of one plan, for years: streams the changes of each database, and goes on by continue-as-new. One activity holds
 * one stream; it reads from storage where to go on. The signal `archiveEnded` ends the archive: the workflow then removes what it made in the
 * source.
 */
export async function archive(input: ArchiveInput, carried: Carried = {}): Promise<void> {
  let next: ArchiveInput | undefined;
  let isEnded = false;
  const keeper = new Keeper(input, carried);
  setHandler(
    archiveWanted,
    (wanted) => {
      // The plan wants the archive back while this run ends it, so the next run begins it anew.
      if (isEnded || JSON.stringify(wanted) !== JSON.stringify(input)) next = wanted;
    },
    { description: 'Sent by the plan: how it wants to be archived from now on' },
  );
  setHandler(
    archiveEnded,
    () => {
      isEnded = true;
      next = undefined;
    },
    { description: 'Sent by the plan: it has no archive any more' },
  );
  setHandler(archiveState, () => keeper.state, { description: 'How each database is archived' });
  setDefaultSignalHandler(() => undefined);

  const streams = new CancellationScope();
  const running = streams.run(() => keeper.keep());
  // The rejection is handled at the `await` below.
  running.catch(() => undefined);
  // A run that was begun by an older release goes on as it did.
  const isWatched = patched('an archive goes on in a new run before its history is too long');
  const opensAll = patched('an archive opens all of its databases in one run');
  const isTooLong = () => (opensAll ? keeper.isLong : isWatched && isLong(input));
  await condition(() => isEnded || next !== undefined || isTooLong(), RUN_MS);
  streams.cancel();
  try {
    await running;
  } catch (error) {
    if (!isCancellation(error)) throw error;
  }
  await condition(allHandlersFinished);
  if (isEnded) {
    await keeper.end(() => next !== undefined);
    if (next === undefined) return;
  }
  const { known, failures } = keeper.carried;
  // Another plan may have mended what failed.
  await continueAsNew<typeof archive>(next ?? input, next === undefined ? { known, failures } : { known });
}

/** As the release before this one decided it. */
function isLong({ historyEvents = HISTORY_EVENTS }: ArchiveInput): boolean {
  const { continueAsNewSuggested, historyLength } = workflowInfo();
  return continueAsNewSuggested || historyLength >= historyEvents;
}

class Keeper {
  readonly #input: ArchiveInput;
  readonly #databases = new Map<string, DatabaseState>();
  #longestEndAgainMs = LONGEST_END_AGAIN_MS;
  /** What this run has closed. */
  readonly #closed = new Set<string>();
  /** Of the last answer. */
  #known: readonly string[];
  readonly #failures: StandingFailures;
  #failure: string | undefined;

  constructor(input: ArchiveInput, { failures, known = [] }: Carried) {
    this.#input = input;
    this.#known = known;
    this.#failures = new StandingFailures(failures);
  }

  get carried(): Required<Carried> {
    return { failures: this.#failures.carried(Date.now()), known: this.#known };
  }

  get state(): ArchiveState {
    return {
      plan: this.#input.plan,
      databases: [...this.#databases].map(([database, state]) => ({ database, ...state })),
      ...defined({ failure: this.#failure }),
    };
  }

  /**
   * Databases that fail, or begin anew, again and again write events all the time. A run may open all of its databases first, however many those are: it would
   * otherwise end before it archives anything, and so would each run after it. That is why what Temporal suggests, from 4,096 events on, isn't heeded.
   */
  get isLong(): boolean {
    const { historyLength, historySize } = workflowInfo();
    const { historyEvents = HISTORY_EVENTS } = this.#input;
    const events = historyEvents + EVENTS_TO_OPEN * this.#known.length;
    return historyLength >= Math.min(events, HISTORY_EVENTS_AT_MOST) || historySize >= HISTORY_BYTES_AT_MOST;
  }

  /** Archives every database until it is cancelled. */
  async keep(): Promise<void> {
    const { wanted, others } = await this.#untilItWorks('list the databases', () => this.#list());
    if (others.length > 0 && patched('closing an archive holds up no other')) {
      const closing = others.map((database) =>
        this.#untilItWorks(`close ${database}`, () => this.#close(database)),
      );
      await Promise.all([...closing, ...wanted.map((database) => this.#keepDatabase(database))]);
      return;
    }
    for (const database of others) {
      const patientlyToo = patched('closing an archive is tried until it works');
      if (patientlyToo) await this.#untilItWorks(`close ${database}`, () => this.#close(database));
      else await this.#close(database);
    }
    await Promise.all(wanted.map((database) => this.#keepDatabase(database)));
  }

  /**
   * Removes publication and slot of each database. Tries for a week, since nobody else would do it, and a source keeps its log for a slot that is left until its
   * disk is full.
   *
   * @param isWantedBack true: the plan wants the archive again, and the end is given up
   */
  async end(isWantedBack: () => boolean): Promise<void> {
    if (!patched('the end of an archive is tried for a week')) return this.#endOnce();
    const givenUpAtMs = Date.now() + END_TRIED_FOR_MS;
    let told = '';
    for (let pauseMs = FIRST_END_AGAIN_MS; ; pauseMs = Math.min(2 * pauseMs, this.#longestEndAgainMs)) {
      try {
        return await this.#endOnce();
      } catch (error) {
        if (isCancellation(error) || Date.now() > givenUpAtMs) throw error;
        told = await this.#tellFailure('its end, until which the source keeps its log', error, told);
        if (await condition(isWantedBack, pauseMs)) return;
      }
    }
  }

  async #list(): ReturnType<Activities['archiveDatabases']> {
    const input = { ...this.#input, known: this.#known };
    const listed = await this.#call('list the databases').archiveDatabases(input);
    this.#known = [...listed.wanted, ...listed.others];
    return listed;
  }

  /** Closes each database, whatever becomes of the others. Throws the first failure. */
  async #endOnce(): Promise<void> {
    const { wanted, others } = await this.#list();
    if (!patched('one database that can not be closed keeps no other open')) {
      for (const database of [...wanted, ...others]) await this.#close(database);
      return;
    }
    // The source names each wanted one at each try. To close it again would only make the history longer.
    const left = [...wanted, ...others].filter((database) => !this.#closed.has(database));
    const closings = await Promise.allSettled(left.map((database) => this.#close(database)));
    const failed = closings.filter((closing) => closing.status === 'rejected');
    this.#longestEndAgainMs = Math.max(LONGEST_END_AGAIN_MS, failed.length * LONGEST_END_AGAIN_EACH_MS);
    if (failed[0] !== undefined) throw failed[0].reason;
  }

  async #keepDatabase(database: string): Promise<never> {
    const { plan, source, repository, policy } = this.#input;
    const request = { plan, source, repository, policy, database };
    for (;;) {
      const opened = await this.#untilItWorks(database, () =>
        this.#call(`open the archive of ${database}`).openArchive(request),
      );
      this.#show(database, { timeline: opened.timeline, since: opened.since });
      await this.#askForBase(database, opened.timeline, opened.reason);
      const end = await this.#untilItWorks(database, () => this.#stream(request));
      this.#show(database, { timeline: end.timeline, since: opened.since, failure: end.reason });
      await this.#tellEnd(database, end);
    }
  }

  #stream(request: Parameters<Activities['streamArchive']>[0]): Promise<TimelineEnd> {
    return activitiesFor({
      summary: `archive the changes of ${request.database}`,
      retry: PATIENT_RETRY,
      timeoutMs: STREAM_AT_MOST_MS,
      taskQueue: archiveQueue(workflowInfo().taskQueue),
    }).streamArchive(request);
  }

  /**
   * Repeats `work` until it succeeds. A failure that retries don't mend is shown, reported once, and tried again, ever less often: a person may mend
   * its cause, and the archive must not end.
   */
  async #untilItWorks<T>(what: string, work: () => Promise<T>): Promise<T> {
    for (let told = ''; ; ) {
      try {
        const result = await work();
        this.#failure = undefined;
        return result;
      } catch (error) {
        if (isCancellation(error)) throw error;
        if (patched('a failure that stays is tried ever less often')) {
          await sleep(await this.#tellOnce(what, error));
          continue;
        }
        told = await this.#tellFailure(what, error, told);
        await sleep(AFTER_FAILURE_MS);
      }
    }
  }

  /** Tells a failure unless it is the last one again, in this run or the one before. Returns how long to wait, in milliseconds. */
  async #tellOnce(what: string, error: unknown): Promise<number> {
    const { message } = describeFailure(error);
    const { isNew, pauseMs } = this.#failures.note(what, message, Date.now());
    await this.#tellFailure(what, error, isNew ? '' : message);
    return pauseMs;
  }

  /** Shows a failure, and tells it unless it says what was told last. Returns what it says. */
  async #tellFailure(what: string, error: unknown, told: string): Promise<string> {
    const { code, message } = describeFailure(error);
    const { plan } = this.#input;
    this.#failure = `${what}: ${message}`;
    this.#render();
    log.warn(`the archive of plan ${plan} has failed`, { what, code, message });
    const headline = `The archive of changes of plan ${plan} has failed (${what}): ${message}`;
    if (message !== told) await this.#notify(`failed-${code}`, headline, code, 'archive.failed');
    return message;
  }

  /**
   * Asks the plan for a base backup, without which the new timeline is useless. The plan recognises the request by its id if it is sent again.
   */
  async #askForBase(database: string, timeline: string, why: string | undefined): Promise<void> {
    const reason =
      `base for the archive of changes of ${database}${why === undefined ? '' : `: ${why}`}`.slice(
        0,
        TEXT_AT_MOST,
      );
    try {
      await getExternalWorkflowHandle(planWorkflowId(this.#input.plan)).signal(personsSignal('backup'), {
        requestId: `${BASE_REQUEST}${timeline}`,
        reason,
      });
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('the plan is not applied, so nobody makes a base backup', { plan: this.#input.plan });
    }
  }

  async #tellEnd(database: string, { code, reason, timeline }: TimelineEnd): Promise<void> {
    const headline = `The archive of changes of ${database} (plan ${this.#input.plan}) has a hole and begins anew: ${reason}`;
    const type = code === 'source-lag' ? 'archive.slot-given-up' : 'archive.gap';
    await this.#notify(`hole-${timeline}`, headline, code, type);
  }

  #notify(key: string, headline: string, code: string, type: EventName): Promise<void> {
    const { notify, plan, labels } = this.#input;
    const error = { code, message: headline };
    const news = { type, plan, labels, ok: false, headline, error, facts: {} };
    return sendNotification(key, { ...news, ...defined({ notify }) });
  }

  async #close(database: string): Promise<void> {
    const { plan, source, repository, policy } = this.#input;
    await this.#call(`drop slot and publication in ${database}`).closeArchive({
      plan,
      source,
      repository,
      policy,
      database,
    });
    this.#databases.delete(database);
    this.#closed.add(database);
  }

  #call(summary: string): Activities {
    return patiently(summary, archiveQueue(workflowInfo().taskQueue));
  }

  #show(database: string, state: DatabaseState): void {
    this.#databases.set(database, state);
    this.#render();
  }

  #render(): void {
    const lines = [...this.#databases].map(
      ([database, { timeline, since, failure }]) =>
        `- **${database}**: timeline \`${timeline}\`, without a gap since ${since}${failure === undefined ? '' : `. The last one ended: ${failure}`}`,
    );
    const failed = this.#failure === undefined ? [] : [`**Failed:** ${this.#failure}`, ''];
    setCurrentDetails([...failed, ...lines].join('\n'));
  }
}
