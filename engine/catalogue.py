"""The one list of commands: name in the journal, record, rule, and how it may be undone.

A new transaction type is one file in ``engine/rules`` and one line here. Letters of undo: R by
reversal, V by void, F by refund (``protocol.md``, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final

from engine.draft import Draft
from engine.reasons import Reason
from engine.rules import (
    accounts,
    adjustments,
    campaigns,
    cards,
    clearing,
    code_batches,
    coupon_inquiry,
    coupon_undo,
    coupons,
    custody,
    desks,
    earning,
    exchange,
    expiry,
    forgetting,
    gifts,
    holds,
    limits,
    lotteries,
    members,
    offline,
    points,
    products,
    pruning,
    recharge,
    reference,
    refund,
    resending,
    rewards,
    terminals,
    tiers,
    transfers,
    undo,
    value,
)
from engine.rules.refund import Return
from engine.rules.undo import Hook
from ledger.model import Entry, Posting


@dataclass(slots=True)
class Rule:
    """A line of the catalogue.

    Attributes:
        kind: the command's name in the journal.
        command: its record.
        decide: the rule.
        identity: ``own`` for a request whose identity is looked up and kept; ``original`` for a
            reversal, which names its original's; ``none`` for the rest.
        batch: ``in force`` where the batch must be; ``open`` where one not yet settled will do.
        undo: letters R, V, F.
        refund: returns a share; for the letter F.
        undone: takes back what it changed beside its legs, see `engine.rules.undo`.
        redone: lets that stand again once its void was reversed.
        legs: those that an undo negates, where these are not all.
    """

    kind: str
    command: type[Any]
    decide: Callable[[Any, Draft], Reason]
    identity: str
    batch: str
    undo: str
    refund: Return | None = None
    undone: Hook | None = None
    redone: Hook | None = None
    legs: Callable[[Entry], tuple[Posting, ...]] | None = None


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "accrual",
        points.Accrual,
        points.accrue,
        "own",
        "in force",
        "RVF",
        refund.refund_accrual,
        tiers.undone,
        tiers.redone,
    ),
    Rule(
        "redemption",
        points.Redemption,
        points.redeem,
        "own",
        "in force",
        "RVF",
        refund.refund_redemption,
    ),
    Rule(
        "top-up",
        value.TopUp,
        value.top_up,
        "own",
        "in force",
        "RV",
        undone=value.load_undone,
        redone=value.load_redone,
    ),
    Rule(
        "purchase", value.Purchase, value.purchase, "own", "in force", "RVF", refund.refund_purchase
    ),
    Rule(
        "conversion",
        value.Conversion,
        value.convert,
        "own",
        "in force",
        "RV",
        undone=value.load_undone,
        redone=value.load_redone,
    ),
    Rule("offline accrual", offline.OfflineAccrual, offline.accrue_offline, "own", "in force", ""),
    Rule(
        "hold",
        holds.Hold,
        holds.hold,
        "own",
        "in force",
        "R",
        undone=holds.undo_hold,
        legs=holds.no_legs,
    ),
    Rule("release", holds.Release, holds.release, "own", "in force", ""),
    Rule(
        "capture",
        holds.Capture,
        holds.capture,
        "own",
        "in force",
        "RVF",
        refund.refund_redemption,
        legs=holds.own_legs,
    ),
    Rule(
        "value hold",
        holds.ValueHold,
        holds.hold_value,
        "own",
        "in force",
        "R",
        undone=holds.undo_value_hold,
    ),
    Rule(
        "value capture",
        holds.ValueCapture,
        holds.capture_value,
        "own",
        "in force",
        "RVF",
        refund.refund_purchase,
    ),
    Rule("hold time-out", holds.TimeOut, holds.time_out, "none", "", ""),
    Rule(
        "transfer",
        transfers.Transfer,
        transfers.transfer,
        "own",
        "in force",
        "RV",
        undone=transfers.take_back,
        redone=transfers.give_again,
    ),
    Rule("transfer in", transfers.TransferIn, transfers.take_in, "none", "", ""),
    Rule("transfer back", transfers.TransferBack, transfers.hand_back, "none", "", ""),
    Rule("exchange", exchange.Exchange, exchange.exchange, "own", "in force", "RV"),
    Rule("rate", exchange.PutRate, exchange.put_rate, "none", "", ""),
    Rule(
        "reward",
        rewards.Reward,
        rewards.reward,
        "own",
        "in force",
        "RVF",
        refund.refund_given,
        undone=rewards.take_back_other,
        redone=rewards.give_other_again,
    ),
    Rule("reward other", rewards.RewardOther, rewards.reward_other, "none", "", ""),
    Rule(
        "gift",
        gifts.GiftExchange,
        gifts.exchange_gift,
        "own",
        "in force",
        "RV",
        undone=gifts.undo_gift,
        redone=gifts.redo_gift,
    ),
    Rule("gift catalogue", gifts.PutGift, gifts.put_gift, "none", "", ""),
    Rule("gift order", gifts.MoveGiftOrder, gifts.move_order, "none", "", ""),
    Rule(
        "coupon claim",
        coupons.Claim,
        coupons.claim,
        "own",
        "in force",
        "RV",
        undone=coupon_undo.undo_claim,
        redone=coupon_undo.redo_claim,
    ),
    Rule(
        "coupon use",
        coupons.Use,
        coupons.use,
        "own",
        "in force",
        "RVF",
        coupon_undo.refund_use,
        coupon_undo.undo_use,
        coupon_undo.redo_use,
    ),
    Rule(
        "coupon transfer",
        coupons.Handover,
        coupons.hand_over,
        "own",
        "in force",
        "RV",
        undone=coupon_undo.undo_handover,
        redone=coupon_undo.redo_handover,
    ),
    Rule("coupon grant", coupons.Grant, coupons.grant, "none", "", ""),
    Rule("coupon expiry", coupons.ExpireCoupons, coupons.expire_coupons, "none", "", ""),
    Rule(
        "coupon inquiries",
        coupon_inquiry.NoteInquiries,
        coupon_inquiry.note_inquiries,
        "none",
        "",
        "",
    ),
    Rule("campaign", campaigns.PutCampaign, campaigns.put_campaign, "none", "", ""),
    Rule("coupon step", campaigns.MoveCoupon, campaigns.move_coupon, "none", "", ""),
    Rule("code cancelled", campaigns.CancelCode, campaigns.cancel_code, "none", "", ""),
    Rule("campaign step", campaigns.MoveCampaign, campaigns.move_campaign, "none", "", ""),
    Rule(
        "draw",
        lotteries.Draw,
        lotteries.draw,
        "own",
        "in force",
        "R",
        undone=lotteries.undo_draw,
    ),
    Rule("lottery", lotteries.PutLottery, lotteries.put_lottery, "none", "", ""),
    Rule("lottery approved", lotteries.ApproveLottery, lotteries.approve_lottery, "none", "", ""),
    Rule("lottery ended", lotteries.EndLottery, lotteries.end_lottery, "none", "", ""),
    Rule("codes", code_batches.OpenCodes, code_batches.open_codes, "none", "", ""),
    Rule("codes handed out", code_batches.HandOut, code_batches.hand_out, "none", "", ""),
    Rule("codes taken back", code_batches.TakeBack, code_batches.take_back, "none", "", ""),
    Rule("codes imported", code_batches.ImportCodes, code_batches.import_codes, "none", "", ""),
    Rule(
        "recharge",
        recharge.Recharge,
        recharge.use_card,
        "own",
        "in force",
        "RV",
        undone=recharge.undo_use,
        redone=recharge.redo_use,
    ),
    Rule("recharge batch", recharge.OpenRecharge, recharge.open_recharge, "none", "", ""),
    Rule("recharge cards", recharge.MoveRecharge, recharge.move_recharge, "none", "", ""),
    Rule("recharge expiry", recharge.ExpireRecharge, recharge.expire_recharge, "none", "", ""),
    Rule("code resent", resending.ResendCode, resending.resend_code, "none", "", ""),
    Rule("void", undo.Void, undo.void, "own", "in force", "R"),
    Rule("refund", refund.Refund, refund.refund, "own", "in force", ""),
    Rule("reversal", undo.Reversal, undo.reverse, "original", "", ""),
    Rule("enrolment", members.Enrolment, members.enrol, "own", "in force", ""),
    Rule("loss report", cards.LossReport, cards.report_loss, "own", "in force", ""),
    Rule("card replacement", cards.CardReplacement, cards.replace_card, "own", "in force", ""),
    Rule("pin change", members.PinChange, members.change_pin, "own", "in force", ""),
    Rule("pin check", members.PinCheck, members.check_pin, "none", "", ""),
    Rule("settlement", terminals.Settlement, terminals.settle, "own", "open", ""),
    Rule("upload", terminals.UploadItem, terminals.upload, "own", "open", ""),
    Rule("sign-on", terminals.SignOn, terminals.sign_on, "none", "", ""),
    Rule("keys confirmed", terminals.ConfirmKeys, terminals.confirm_keys, "none", "", ""),
    Rule("program", reference.PutProgram, reference.put_program, "none", "", ""),
    Rule("institution", reference.PutInstitution, reference.put_institution, "none", "", ""),
    Rule("merchant", reference.PutMerchant, reference.put_merchant, "none", "", ""),
    Rule("store", reference.PutStore, reference.put_store, "none", "", ""),
    Rule("terminal", reference.PutTerminal, reference.put_terminal, "none", "", ""),
    Rule("member", reference.PutMember, reference.put_member, "none", "", ""),
    Rule("PIN unlock", accounts.UnlockPin, accounts.unlock_pin, "none", "", ""),
    Rule("PIN", accounts.SetPin, accounts.set_pin, "none", "", ""),
    Rule("member state", accounts.SetState, accounts.set_state, "none", "", ""),
    Rule("member closed", accounts.CloseAccount, accounts.close_account, "none", "", ""),
    Rule("member forgotten", forgetting.ForgetMember, forgetting.forget_member, "none", "", ""),
    Rule("names dropped", forgetting.DropNames, forgetting.drop_names, "none", "", ""),
    Rule("member tokens", accounts.ChangeTokens, accounts.change_tokens, "none", "", ""),
    Rule("card state", accounts.SetCard, accounts.set_card, "none", "", ""),
    Rule("tier grant", accounts.GrantTier, accounts.grant_tier, "none", "", ""),
    Rule("tier", tiers.PutTier, tiers.put_tier, "none", "", ""),
    Rule("tier review", tiers.ReviewTier, tiers.review_tier, "none", "", ""),
    Rule("opening balance", reference.OpeningBalance, reference.open_balance, "none", "", ""),
    Rule("earn rule", earning.PutEarnRule, earning.put_earn_rule, "none", "", ""),
    Rule("credit limit", earning.PutCredit, earning.put_credit, "none", "", ""),
    Rule("reason", rewards.PutReason, rewards.put_reason, "none", "", ""),
    Rule("adjustment proposed", adjustments.Propose, adjustments.propose, "none", "", ""),
    Rule("adjustment confirmed", adjustments.Confirm, adjustments.confirm, "none", "", ""),
    Rule("points released", adjustments.Release, adjustments.release, "none", "", ""),
    Rule("adjustment withdrawn", adjustments.Withdraw, adjustments.withdraw, "none", "", ""),
    Rule("limit", limits.PutLimit, limits.put_limit, "none", "", ""),
    Rule("card product", products.PutCardProduct, products.put_card_product, "none", "", ""),
    Rule("card batch", products.OpenCardBatch, products.open_batch, "none", "", ""),
    Rule("cards", products.IssueCards, products.issue_cards, "none", "", ""),
    Rule("card range", products.MoveCards, products.move_cards, "none", "", ""),
    Rule("value expiry", value.ExpireValue, value.expire_value, "none", "", ""),
    Rule("value reactivation", value.ReactivateValue, value.reactivate_value, "none", "", ""),
    Rule("operator", desks.PutOperator, desks.put_operator, "none", "", ""),
    Rule("operator unlocked", desks.UnlockOperator, desks.unlock_operator, "none", "", ""),
    Rule("terminal state", desks.SetTerminal, desks.set_terminal, "none", "", ""),
    Rule("key component", custody.LoadComponent, custody.load_component, "none", "", ""),
    Rule("resealed", custody.Reseal, custody.reseal, "none", "", ""),
    Rule("parameters", desks.PutParameters, desks.put_parameters, "none", "", ""),
    Rule("calendar", reference.SetCalendar, reference.set_calendar, "none", "", ""),
    Rule("points expiry", expiry.ExpirePoints, expiry.expire_points, "none", "", ""),
    Rule("receipt pruning", pruning.PruneReceipt, pruning.prune_receipt, "none", "", ""),
    Rule("batch pruning", pruning.PruneBatch, pruning.prune_batch, "none", "", ""),
    Rule("cut-off", reference.CutOff, reference.cut_off, "none", "", ""),
    Rule("opened", reference.Opened, reference.opened, "none", "", ""),
    Rule("payee", clearing.PutPayee, clearing.put_payee, "none", "", ""),
    Rule("run started", clearing.StartRun, clearing.start_run, "none", "", ""),
    Rule("run advanced", clearing.AdvanceRun, clearing.advance_run, "none", "", ""),
    Rule("carry forward", clearing.CarryForward, clearing.carry_forward, "none", "", ""),
    Rule("post-back", clearing.PostBack, clearing.post_back, "none", "", ""),
    Rule("true-up", clearing.TrueUp, clearing.true_up, "none", "", ""),
    Rule("payment", clearing.Confirm, clearing.confirm, "none", "", ""),
    Rule("discrepancy", clearing.NoteDiscrepancy, clearing.note_discrepancy, "none", "", ""),
    Rule("resolution", clearing.ResolveDiscrepancy, clearing.resolve_discrepancy, "none", "", ""),
)

BY_KIND: Final[dict[str, Rule]] = {rule.kind: rule for rule in RULES}
BY_COMMAND: Final[dict[type[Any], Rule]] = {rule.command: rule for rule in RULES}

if len(BY_KIND) != len(RULES) or len(BY_COMMAND) != len(RULES):
    raise ImportError("the catalogue names a command twice")

for _rule in RULES:
    undo.FIELDS[_rule.kind] = tuple(field.name for field in fields(_rule.command))
    if _rule.identity == "own":
        undo.UNDOABLE[_rule.kind] = _rule.undo
    if ("F" in _rule.undo) != (_rule.refund is not None):
        raise ImportError(
            f"{_rule.kind} has the letter F, or what returns a share, without the other"
        )
    if _rule.refund is not None:
        refund.REFUNDS[_rule.kind] = _rule.refund
    if _rule.undone is not None:
        undo.UNDONE[_rule.kind] = _rule.undone
    if _rule.legs is not None:
        undo.LEGS[_rule.kind] = _rule.legs
    if _rule.redone is not None:
        undo.REDONE[_rule.kind] = _rule.redone


def command_of(kind: str, values: tuple[Any, ...]) -> Any:
    """Make a command again from its name and fields.

    Raises:
        KeyError: no such command.
        TypeError: the fields are not the command's.
    """
    return BY_KIND[kind].command(*values)
