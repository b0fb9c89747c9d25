/**
 * The releases of YugabyteDB that the matrix runs, one a line; the only place that names their images. To go to a newer build of a line, look up its tag
 * on Docker Hub (`yugabytedb/yugabyte`), write it here and where `deploy/compose.yaml` has the same line, and run the matrix.
 */
export interface Version {
  /** As Holdfast's documentation calls the release line. */
  readonly line: string;
  readonly image: string;
  /** Which PostgreSQL its YSQL is made of. */
  readonly postgres: 11 | 15;
}

export const VERSIONS: readonly Version[] = [
  { line: '2.18', image: 'yugabytedb/yugabyte:2.18.4.0-b52', postgres: 11 },
  { line: '2024.2', image: 'yugabytedb/yugabyte:2024.2.11.0-b36', postgres: 11 },
  { line: '2025.2', image: 'yugabytedb/yugabyte:2025.2.6.0-b111', postgres: 15 },
  { line: '2026.1', image: 'yugabytedb/yugabyte:2026.1.2.0-b137', postgres: 15 },
];

/** @throws Error where no line has the name */
export function versionOf(line: string): Version {
  const found = VERSIONS.find((version) => version.line === line);
  if (found !== undefined) return found;
  throw new Error(
    `There is no line ${line}; there are ${VERSIONS.map((version) => version.line).join(', ')}`,
  );
}
