"""Tensors and positions that are spread over processes of torch.distributed."""
