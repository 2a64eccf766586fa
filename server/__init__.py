"""The gRPC server: asr.v1 Speech and Models, Riva's protocol and health on grpc.aio, behind a policy for every RPC.

``server.app`` is the composition root: nothing else constructs. Importing this package loads no model.
"""
