import type { RepositorySpec } from '../model/pipeline.ts';

/** Where a repository is, for people: `s3://bucket/prefix`, `gs://…`, `azure://account/container/prefix`, or the directory. */
export function placeOf(location: RepositorySpec['location']): string {
  if (location.kind === 'directory') return location.path;
  if (location.kind === 'azure')
    return `azure://${location.account}/${location.container}/${location.prefix}`;
  return `${location.kind === 'gcs' ? 'gs' : 's3'}://${location.bucket}/${location.prefix}`;
}
