/*
 * ipc.h - what clusterctl and clusterd agree on, below the JSON.
 *
 * A message is libqb's header (struct qb_ipc_request_header, struct qb_ipc_response_header) and, right behind
 * it, one JSON object in UTF-8 without a NUL; header.size counts both.
 */
#ifndef CLUSTERD_COMMON_IPC_H
#define CLUSTERD_COMMON_IPC_H

#define IPC_NAME        "clusterd"    /* libqb service, QB_IPC_SOCKET */
#define IPC_VERSION     1             /* "v" of a request */
#define IPC_MESSAGE_MAX (1024 * 1024) /* bytes of one message, header included */
#define IPC_REQUEST_ID  1             /* header.id of a request */
#define IPC_ANSWER_ID   2 /* header.id of an answer; header.error is 0, the JSON says what went wrong */

#endif
