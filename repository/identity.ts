/** What `repository.json` holds. */
export interface RepositoryIdentity {
  readonly formatVersion: number;
  /** Identifies the repository, whatever its address. */
  readonly id: string;
  readonly createdAt: string;
  /** Present in an encrypted repository. */
  readonly encryption?: {
    /** Id of the key that manifests, lists and names are encrypted with: `keys/<id>.age`. */
    readonly metadataKey: string;
  };
}
