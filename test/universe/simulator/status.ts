/** A failure of yb-admin: the text of a `Status`, and the name and number of a master's error. */
export class Failure extends Error {
  readonly kind: string;
  readonly place: string;
  readonly masterError: readonly [string, number] | undefined;

  constructor(kind: StatusKind, message: string, masterError?: keyof typeof MASTER_ERRORS) {
    super(message);
    this.kind = kind;
    this.place =
      masterError === undefined
        ? 'yb/tools/yb-admin_client.cc:1330'
        : 'yb/master/catalog_manager_ext.cc:1672';
    this.masterError = masterError === undefined ? undefined : [masterError, MASTER_ERRORS[masterError]];
  }

  /** `<Code> (<file>): <prefix>: <message>: <NAME> (master error <n>)` */
  status(prefix: string): string {
    const error =
      this.masterError === undefined ? '' : `: ${this.masterError[0]} (master error ${this.masterError[1]})`;
    return `${this.kind} (${this.place}): ${prefix === '' ? '' : `${prefix}: `}${this.message}${error}`;
  }
}

export type StatusKind =
  | 'Invalid argument'
  | 'Not found'
  | 'Illegal state'
  | 'Timed out'
  | 'Runtime error'
  | 'Internal error'
  | 'Remote error'
  | 'Network error'
  | 'Already present'
  | 'Service unavailable'
  | 'Try again';

/** `MasterErrorPB` (master_types.proto). */
const MASTER_ERRORS = {
  OBJECT_NOT_FOUND: 3,
  NAMESPACE_NOT_FOUND: 11,
  INVALID_TABLE_TYPE: 20,
  SNAPSHOT_NOT_FOUND: 22,
  SNAPSHOT_FAILED: 23,
  PARALLEL_SNAPSHOT_OPERATION: 25,
  SNAPSHOT_IS_NOT_READY: 26,
} as const;
