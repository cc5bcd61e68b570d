import pytest
import torch

from focuslab.errors import InputError
from focuslab.models.sites import KINDS, find_sites, grid_of_input, module_kinds, select_sites, unet_of, unit_names


@pytest.fixture(scope="module")
def sites(session_pipe):
    return find_sites(session_pipe)


def test_sites_are_all_self_attentions_and_double_ones_count_twice(session_pipe, sites):
    modules = dict(session_pipe.unet.named_modules())
    self_attentions = [n for n, m in modules.items() if getattr(m, "is_cross_attention", None) is False]
    assert [site.name for site in sites] == sorted(self_attentions, key=[s.name for s in sites].index)
    assert len(sites) == len(self_attentions)
    assert {site.name.rpartition(".")[2] for site in sites} == {"attn1", "attn2"}
    for site in sites:
        assert site.heads == modules[site.name].heads
        assert site.heads * site.head_width == modules[site.name].to_q.out_features
        assert site.name.startswith(site.holder) and site.holder.startswith(site.block)


def test_levels_count_halvings_and_up_blocks_run_from_coarse_to_fine(sites):
    levels = {site.block: site.level for site in sites}
    assert levels == {
        "down_blocks.1": 1,
        "down_blocks.2": 2,
        "down_blocks.3": 3,
        "mid_block": 3,
        "up_blocks.0": 3,
        "up_blocks.1": 2,
        "up_blocks.2": 1,
    }


def test_the_choice_of_the_paper_is_the_second_highest_resolution(sites):
    assert {site.block for site in select_sites(sites, None)} == {"down_blocks.1", "up_blocks.2"}


def test_sites_are_chosen_by_name_block_or_pattern_and_keep_their_order(sites):
    first, last = sites[0], sites[-1]
    assert select_sites(sites, [last.name, first.name]) == (first, last)
    assert {s.block for s in select_sites(sites, "mid_block")} == {"mid_block"}
    assert all(s.name.endswith("attn1") for s in select_sites(sites, "up_blocks.*.attn1"))
    assert select_sites(sites, "*") == sites


def test_what_matches_nothing_lists_what_there_is(sites):
    with pytest.raises(InputError, match=r"up_blocks\.9.*down_blocks\.1.*mid_block.*up_blocks\.2") as caught:
        select_sites(sites, ["mid_block", "up_blocks.9"])
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no sites were named"):
        select_sites(sites, [])
    with pytest.raises(InputError, match="mid_block"):
        select_sites([s for s in sites if s.block == "mid_block"], None)


def test_grids_are_read_from_the_running_unet_for_odd_lengths(pipe, sound):
    grids = {}
    holders = {site.holder for site in find_sites(pipe)}

    def read(name):
        return lambda _m, args, kwargs: grids.update(
            {name: grid_of_input(args[0] if args else kwargs["hidden_states"])}
        )

    hooks = [pipe.unet.get_submodule(h).register_forward_pre_hook(read(h), with_kwargs=True) for h in holders]
    sound(seconds=10.0, steps=1)
    for hook in hooks:
        hook.remove()
    found = {(h.partition(".attentions")[0], g.time, g.mel_rows) for h, g in grids.items()}
    assert ("down_blocks.1", 125, 8) in found
    assert ("down_blocks.2", 63, 4) in found
    assert ("mid_block", 32, 2) in found


def test_a_pipeline_without_a_unet_is_refused():
    with pytest.raises(InputError, match="not str"):
        unet_of("pipe")
    with pytest.raises(InputError, match="not Linear"):
        find_sites(torch.nn.Linear(1, 1))


def test_every_module_has_one_kind_and_units_are_the_outermost(session_pipe):
    unet = session_pipe.unet
    kinds = module_kinds(unet)
    assert kinds.keys() == dict(unet.named_modules()).keys()
    assert set(kinds.values()) == set(KINDS)
    site = find_sites(session_pipe)[0]
    assert kinds[site.name] == kinds[f"{site.name}.to_q"] == "self_attention"
    assert kinds["conv_in"] == kinds[""] == kinds[site.holder] == "other"
    units = unit_names(unet)
    assert site.name in units and f"{site.name}.to_q" not in units
    assert "" in units and "down_blocks" not in units and "down_blocks.1" in units
    covered = [n for n in kinds if any(n == u or n.startswith(f"{u}.") for u in units if u)]
    with_weights = [n for n, m in unet.named_modules() if n and any(True for _ in m.parameters(recurse=False))]
    assert set(with_weights) <= set(covered)
