import type { ProfileName } from '../model.ts';

/** How one release line differs from the others, as far as the facts say. */
export interface Profile {
  readonly name: ProfileName;
  /** First line of `yb-admin --version`. */
  readonly version: string;
  /** `create_…_snapshot` accepts a retention in hours, 24 by default; before about 2.19 a snapshot stays for ever (issue 27289). */
  readonly snapshotRetention: boolean;
  readonly snapshotsAsJson: boolean;
  readonly tabletsAsJson: boolean;
  readonly creationTime: boolean;
  /** `Snapshot metadata …` and `Flushed […] tables.` instead of the older texts. */
  readonly newTexts: boolean;
  /** Broadcast column, followers, leader's UUID. */
  readonly wideColumns: boolean;
  readonly schedules: 'old' | 'new';
  readonly clones: boolean;
  /** `ysql_dump` has `--read-time`. */
  readonly readTime: boolean;
  readonly catalogVersionByDatabase: boolean;
  /** An error shows only the usage of its operation, and "Did you mean". */
  readonly shortUsage: boolean;
  readonly tableHash: boolean;
  /** `import_snapshot` skips tables that it doesn't find instead of failing (2025.1 and later). */
  readonly importSkips: boolean;
}

const OLD: Omit<Profile, 'name' | 'version'> = {
  snapshotRetention: false,
  snapshotsAsJson: false,
  tabletsAsJson: false,
  creationTime: false,
  newTexts: false,
  wideColumns: false,
  schedules: 'old',
  clones: false,
  readTime: false,
  catalogVersionByDatabase: false,
  shortUsage: false,
  tableHash: false,
  importSkips: false,
};

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  '2.18': { ...OLD, name: '2.18', version: '2.18.4.0 build 52' },
  '2024.2': {
    ...OLD,
    name: '2024.2',
    version: '2024.2.1.0 build 185',
    snapshotRetention: true,
    snapshotsAsJson: true,
    tabletsAsJson: true,
    creationTime: true,
    newTexts: true,
    wideColumns: true,
    schedules: 'new',
    clones: true,
    readTime: true,
    catalogVersionByDatabase: true,
  },
  '2025.2': {
    name: '2025.2',
    version: '2025.2.1.0 build 41',
    snapshotRetention: true,
    snapshotsAsJson: true,
    tabletsAsJson: true,
    creationTime: true,
    newTexts: true,
    wideColumns: true,
    schedules: 'new',
    clones: true,
    readTime: true,
    catalogVersionByDatabase: true,
    shortUsage: true,
    tableHash: true,
    importSkips: true,
  },
};
