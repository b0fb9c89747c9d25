import {
  InterceptingCall,
  type Interceptor,
  type InterceptorOptions,
  type NextCall,
  status,
} from '@grpc/grpc-js';
import { defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';

type AnyCall = ReturnType<NextCall>;

/**
 * The client's interceptors: Temporal's own, which retries calls, and one that ends a call whose connection was closed meanwhile.
 * Without it the next try throws from a timer ("Channel has been shut down"), and the process dies, even if its work was done.
 */
export const interceptors: Interceptor[] = [
  makeGrpcRetryInterceptor(defaultGrpcRetryOptions()),
  (options, nextCall) => new InterceptingCall(callOrEnd(options, nextCall)),
];

function callOrEnd(options: InterceptorOptions, nextCall: NextCall): AnyCall {
  try {
    return nextCall(options);
  } catch (error) {
    return endedCall(error);
  }
}

/** Ends a call as cancelled, so that it is not tried again. */
function endedCall(error: unknown): AnyCall {
  const details = `the connection is closed: ${error instanceof Error ? error.message : String(error)}`;
  return {
    start: (metadata, listener) => listener?.onReceiveStatus?.({ code: status.CANCELLED, details, metadata }),
    sendMessage: () => undefined,
    sendMessageWithContext: () => undefined,
    startRead: () => undefined,
    halfClose: () => undefined,
    cancelWithStatus: () => undefined,
    getPeer: () => '',
    getAuthContext: () => null,
  };
}
