/*
 * What logical replication of a release of YugabyteDB would leave out of an archive of changes. Sources: YugabyteDB's documentation of
 * logical replication (early access in every release so far) and its issues, by number. None of it was tried on a cluster.
 */

type Release = readonly number[];

interface Limit {
  /** First release that has the limit; absent: all. */
  readonly since?: Release;
  /** First release without it; absent: none so far. */
  readonly until?: Release;
  /** A clause. */
  readonly says: string;
}

/** Replication slots with a publication came with it. */
const FIRST_WITH_SLOTS: Release = [2024, 1, 1];

/** Savepoints, which drivers and PL/pgSQL make unasked, and positions by hybrid time that lose nothing. */
const FIRST_ARCHIVABLE: Release = [2025, 2, 2];

/** Whether an archive of changes can be kept of this release. One that names no release is none. */
export function isArchivable(version: string): boolean {
  const release = releaseOf(version);
  return release !== undefined && !isBefore(release, FIRST_ARCHIVABLE);
}

const LIMITS: readonly Limit[] = [
  { says: 'TRUNCATE is never sent (issue 29674)' },
  {
    until: [2026, 1],
    says: 'while a slot exists, the server refuses DROP, TRUNCATE and what rewrites a table',
  },
  {
    since: [2026, 1],
    says: 'what rewrites a table is sent as changes of its rows once more (issue 31636), and is refused for colocated tables while a slot exists (issue 31908)',
  },
  {
    until: [2026, 1],
    says: 'changes of a new table are not sent for up to 15 minutes (cdcsdk_publication_list_refresh_interval_secs)',
  },
  { until: [2025, 2, 2], says: 'savepoints are not supported (issue 10936)' },
  {
    until: [2025, 1],
    says: 'positions by hybrid time, which an instant needs for an exact cut, could lose changes (issue 25749)',
  },
  {
    until: [2025, 2, 5, 2],
    says: 'what was acknowledged can never be read again (issue 32685)',
  },
  {
    until: [2024, 2, 1],
    says: 'a slot that nobody reads for 4 hours is lost',
  },
  {
    since: [2024, 2, 1],
    says: 'a slot that nobody reads for 8 hours is lost',
  },
  { says: 'a slot has no lock: a second reader is not refused (issue 33050)' },
  {
    says: 'all databases of a cluster share 10 slots (max_replication_slots, which takes a restart to change)',
  },
];

/**
 * What stands between this release and an archive of its changes, a clause each.
 *
 * @param version as the server states it: `15.12-YB-2025.1.0.0-b0`. Where it names no release, what holds for all of them.
 */
export function replicationLimits(version: string): readonly string[] {
  const release = releaseOf(version);
  if (release !== undefined && isBefore(release, FIRST_WITH_SLOTS)) {
    return ['it has no replication slots (they came with 2024.1.1)'];
  }
  return LIMITS.filter(({ since, until }) => {
    if (release === undefined) return since === undefined && until === undefined;
    return (
      (since === undefined || !isBefore(release, since)) && (until === undefined || isBefore(release, until))
    );
  }).map(({ says }) => says);
}

function releaseOf(version: string): Release | undefined {
  const [, release] = /-YB-(\d+(?:\.\d+)+)/.exec(version) ?? /^(\d{4}(?:\.\d+)+)/.exec(version) ?? [];
  return release?.split('.').map(Number);
}

function isBefore(release: Release, other: Release): boolean {
  for (let place = 0; place < Math.max(release.length, other.length); place += 1) {
    const difference = (release[place] ?? 0) - (other[place] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
