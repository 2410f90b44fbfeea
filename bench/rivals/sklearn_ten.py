"""What scikit-learn gets on the ten tables: `python3 bench/rivals/sklearn_ten.py [FOLDER]` (Debian: python3-sklearn).

Inputs standardised within each fold; linear or logistic regression, a network with one hidden layer of 48, gradient
boosting; five folds, shuffled (stratified for classes), seed 0, everything else at the library's defaults. Its figures are those that
`bench/tabular_ten.ts` prints beside ours.
"""
import sys
import warnings
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")
folder = sys.argv[1] if len(sys.argv) > 1 else "../shared/data/tabular"
regressions = {"mpg", "housing"}
for name in ["iris", "penguins", "seeds", "wine_red", "diabetes", "heart", "cancer", "titanic", "mpg", "housing"]:
    rows = np.genfromtxt(f"{folder}/{name}.csv", delimiter=",", skip_header=1, dtype=str)
    x, y = rows[:, :-1].astype(float), rows[:, -1]
    if name in regressions:
        y, folds, scoring = y.astype(float), KFold(5, shuffle=True, random_state=0), "neg_root_mean_squared_error"
        network = MLPRegressor((48,), max_iter=2000, random_state=0)
        network = TransformedTargetRegressor(network, transformer=StandardScaler())
        models = [LinearRegression(), network, HistGradientBoostingRegressor(random_state=0)]
    else:
        if name == "wine_red":  # scores up to 5, 6, from 7 on
            y = np.digitize(y.astype(float), [5.5, 6.5])
        folds, scoring = StratifiedKFold(5, shuffle=True, random_state=0), "accuracy"
        models = [
            LogisticRegression(max_iter=1000),
            MLPClassifier((48,), max_iter=2000, random_state=0),
            HistGradientBoostingClassifier(random_state=0),
        ]
    scores = [abs(cross_val_score(make_pipeline(StandardScaler(), m), x, y, cv=folds, scoring=scoring).mean()) for m in models]
    print(name, *(f"{s:.3f}" if s < 1 else f"{s:.2f}" if s < 1000 else f"{s:.0f}" for s in scores), flush=True)
