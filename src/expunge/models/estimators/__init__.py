"""Estimators after scikit-learn's conventions whose ``forget`` gives what ``fit`` on the kept records would give.

``fit(X, y, ids=…, subjects=…)`` takes arrays and pandas frames; then ``forget``, ``without``, ``plan``, ``digest`` and
``guarantee`` beside the usual ``predict``. `check_pipeline` names what in a pipeline is outside the guarantee.

Source: spec section 4.
"""
