import path from 'node:path';

/** A repository `main` in the folder `repository` of a test's folder. */
export function repositoryDocument(folder: string): string {
  return `apiVersion: holdfast/v1
kind: Repository
metadata: { name: main }
spec: { directory: ${path.join(folder, 'repository')} }
`;
}

/**
 * A plan that backs what `ORDERS_DATABASE_URL` names up into the repository `main`.
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
