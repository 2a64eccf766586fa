"""The gRPC server: asr.v1 Speech and Models, health and reflection on grpc.aio.

``server.app`` is the composition root: nothing else constructs. Importing this package loads no model.
"""
