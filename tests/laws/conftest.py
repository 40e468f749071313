import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Keep PyTorch to one thread: on small scenes two wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
