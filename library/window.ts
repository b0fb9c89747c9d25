import { type DatabaseWindow, readArchive } from '../engines/ysql/archive/window.ts';
import { isoOfMicros, postgresLsn, type Timeline } from '../model/archive.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import type { RecoveryWindow } from '../model/recovery.ts';
import type { Access } from './access.ts';
import { withStore } from './backups.ts';
import { readSurvey } from './survey.ts';

/** What a plan can be brought back to. Field names are those of `window --json`, times ISO 8601 in UTC with microseconds. */
export interface PlanWindow {
  readonly plan: string;
  /** All instants that can be reached, whatever they are restored from. */
  readonly reachable: RecoveryWindow;
  /** The plan's archive of changes, database by database; empty where there is none. */
  readonly databases: readonly DatabaseArchive[];
}

/** What an archive of changes holds of one database. */
export interface DatabaseArchive {
  readonly database: string;
  /** Stretches of time without a gap, the oldest first. */
  readonly intervals: readonly {
    readonly timeline: string;
    readonly from: string;
    readonly to: string;
    readonly startLsn: string;
    readonly endLsn: string;
    readonly segments: number;
    readonly storedBytes: number;
    readonly stretches: readonly {
      readonly from: string;
      readonly to: string;
      readonly state: 'archived' | 'proved' | 'refuted';
    }[];
  }[];
  /** Stretches of which nothing can be restored. `to` is null while one lasts. */
  readonly holes: readonly {
    readonly from: string;
    readonly to: string | null;
    readonly code: string;
    readonly reason: string;
  }[];
  readonly notArchived: Timeline['notArchived'];
}

/** What a plan's archive of changes holds, database by database, to the microsecond. */
export function readArchiveOf(access: Access, plan: CompiledPlan): Promise<readonly DatabaseWindow[]> {
  return withStore(access, plan.pipeline.repository, (store) => readArchive(store, plan.name));
}

/** To which instants a plan can be brought back. */
export async function readWindow(access: Access, plan: CompiledPlan): Promise<PlanWindow> {
  const windows = await readArchiveOf(access, plan);
  const { window: reachable } = await readSurvey(access, plan);
  return { plan: plan.name, reachable, databases: windows.map(archiveDocument) };
}

function archiveDocument({ database, intervals, holes, notArchived }: DatabaseWindow): DatabaseArchive {
  return {
    database,
    intervals: intervals.map((interval) => ({
      timeline: interval.timeline,
      from: isoOfMicros(interval.fromMicros),
      to: isoOfMicros(interval.toMicros),
      startLsn: postgresLsn(interval.startLsn),
      endLsn: postgresLsn(interval.endLsn),
      segments: interval.segments.length,
      storedBytes: interval.storedBytes,
      stretches: interval.stretches.map(({ fromMicros, toMicros, state }) => ({
        from: isoOfMicros(fromMicros),
        to: isoOfMicros(toMicros),
        state,
      })),
    })),
    holes: holes.map(({ fromMicros, toMicros, code, reason }) => ({
      from: isoOfMicros(fromMicros),
      to: toMicros === undefined ? null : isoOfMicros(toMicros),
      code,
      reason,
    })),
    notArchived,
  };
}
