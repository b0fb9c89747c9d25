import path from 'node:path';

/** The document of a repository `main` in the folder `repository` of a test's folder. */
export function repositoryDocument(folder: string): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { directory: ${path.join(folder, 'repository')} }
`;
}

/**
 * The document of a plan that backs up the database in `ORDERS_DATABASE_URL` to the repository `main`.
 *
 * @param spec further lines of its spec, indented by two
 * @param source further options of its source, e.g. `, chunkSize: 1MiB`
 */
export function planDocument(name: string, spec = '', source = ''): string {
  return `---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${name} }
spec:
  source: { ysql: { connection: { env: ORDERS_DATABASE_URL }${source} } }
  repository: main
${spec}`;
}

/** The documents of a plan of its own repository, which lies in the folder of the plan's name in `folder`. Its database is in `URL`. */
export function planWithRepository(folder: string, name: string): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: ${name}-backups }
spec: { directory: ${path.join(folder, name)} }
---
apiVersion: holdfast/v1
kind: BackupPlan
metadata: { name: ${name} }
spec: { source: { ysql: { connection: { env: URL } } }, repository: ${name}-backups }
`;
}
