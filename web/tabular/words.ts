/**
 * What people call the ten data sets, their columns and classes; and where each comes from.
 *
 * @module
 */

/** A column in words: its name, its unit, and of coded values what each stands for. */
export type ColumnWords = readonly [
  label: string,
  unit?: string,
  values?: Readonly<Record<string, string>>,
];

/** A data set in words. */
export interface SetWords {
  /** On its button. */
  readonly name: string;
  /** What it is of, and who gathered it. */
  readonly source: string;
  /** What the model says, with its unit. */
  readonly target: ColumnWords;
  /** By the column's name in the file. */
  readonly columns: Readonly<Record<string, ColumnWords>>;
}

const noYes = { 0: "no", 1: "yes" };

/** The 30 columns of the cancer set: ten measures of cell nuclei, each as mean, standard error and worst. */
const nuclei = Object.fromEntries(
  ([["mean", "mean"], ["se", "standard error"], ["worst", "worst"]] as const).flatMap(([key, words]) =>
    [
      "radius texture perimeter area smoothness compactness concavity concave_points symmetry fractal_dimension",
    ].flatMap((all) => all.split(" ")).map((measure): [string, ColumnWords] => {
      const text = measure.replace("_", " ");
      return [`${key}_${measure}`, [`${text[0].toUpperCase()}${text.slice(1)}, ${words}`]];
    })
  ),
);

/** All of them, by the name of their file. */
export const words: Readonly<Record<string, SetWords>> = {
  iris: {
    name: "Iris flowers",
    source: "Three kinds of iris, 50 flowers each, measured by Edgar Anderson; Fisher 1936.",
    target: ["Species"],
    columns: {
      sepal_length: ["Sepal length", "cm"],
      sepal_width: ["Sepal width", "cm"],
      petal_length: ["Petal length", "cm"],
      petal_width: ["Petal width", "cm"],
    },
  },
  penguins: {
    name: "Penguins",
    source: "Penguins of three species at Palmer Station, Antarctica; Gorman, Williams and Fraser 2014.",
    target: ["Species"],
    columns: {
      bill_length_mm: ["Bill length", "mm"],
      bill_depth_mm: ["Bill depth", "mm"],
      flipper_length_mm: ["Flipper length", "mm"],
      body_mass_g: ["Body mass", "g"],
    },
  },
  seeds: {
    name: "Wheat seeds",
    source: "Kernels of three kinds of wheat, seen by X-rays; Charytanowicz and others 2010, UCI.",
    target: ["Variety"],
    columns: {
      area: ["Area", "mm²"],
      perimeter: ["Perimeter", "mm"],
      compactness: ["Compactness (4π area / perimeter²)"],
      kernel_length: ["Kernel length", "mm"],
      kernel_width: ["Kernel width", "mm"],
      asymmetry: ["Asymmetry"],
      groove_length: ["Groove length", "mm"],
    },
  },
  wine: {
    name: "Red wine",
    source: "Red vinho verde with the marks of tasters, from 0 to 10; Cortez and others 2009.",
    target: ["Quality, as tasters mark it"],
    columns: {
      fixed_acidity: ["Fixed acidity", "g/l"],
      volatile_acidity: ["Volatile acidity", "g/l"],
      citric_acid: ["Citric acid", "g/l"],
      residual_sugar: ["Residual sugar", "g/l"],
      chlorides: ["Chlorides", "g/l"],
      free_sulfur_dioxide: ["Free sulfur dioxide", "mg/l"],
      total_sulfur_dioxide: ["Total sulfur dioxide", "mg/l"],
      density: ["Density", "g/cm³"],
      pH: ["pH"],
      sulphates: ["Sulphates", "g/l"],
      alcohol: ["Alcohol", "% by volume"],
    },
  },
  diabetes: {
    name: "Diabetes",
    source:
      "Women of Pima heritage, 21 years and older, and whether diabetes followed within five years; NIDDK, UCI. " +
      "A 0 often stands for what was not measured.",
    target: ["Diabetes", "", noYes],
    columns: {
      pregnancies: ["Pregnancies"],
      glucose: ["Glucose, two hours into a test", "mg/dl"],
      blood_pressure: ["Diastolic blood pressure", "mmHg"],
      skin_thickness: ["Skin fold of the triceps", "mm"],
      insulin: ["Insulin, two hours into a test", "µU/ml"],
      bmi: ["Body mass index", "kg/m²"],
      diabetes_pedigree: ["Diabetes in the family (pedigree function)"],
      age: ["Age", "years"],
    },
  },
  heart: {
    name: "Heart disease",
    source:
      "Patients of the Cleveland Clinic, and whether a coronary artery was narrowed by half; Detrano and others " +
      "1989, UCI.",
    target: ["Heart disease", "", noYes],
    columns: {
      age: ["Age", "years"],
      sex: ["Sex", "", { 0: "female", 1: "male" }],
      cp: ["Chest pain", "", {
        1: "typical angina",
        2: "atypical angina",
        3: "not angina",
        4: "none",
      }],
      trestbps: ["Blood pressure at rest", "mmHg"],
      chol: ["Cholesterol", "mg/dl"],
      fbs: ["Fasting blood sugar above 120 mg/dl", "", noYes],
      restecg: ["ECG at rest", "", {
        0: "normal",
        1: "ST-T wave abnormal",
        2: "left ventricle enlarged",
      }],
      thalach: ["Highest heart rate in a test", "per minute"],
      exang: ["Angina from exercise", "", noYes],
      oldpeak: ["ST depression from exercise", "mm"],
      slope: ["Slope of the ST segment", "", { 1: "rising", 2: "flat", 3: "falling" }],
      ca: ["Large vessels seen by fluoroscopy", "", { 0: "0", 1: "1", 2: "2", 3: "3" }],
      thal: ["Thallium scan", "", { 3: "normal", 6: "fixed defect", 7: "reversible defect" }],
    },
  },
  cancer: {
    name: "Breast cancer",
    source: "Cell nuclei in images of breast tissue; Wolberg, Street and Mangasarian 1995, UCI (WDBC).",
    target: ["Tumour", "", { B: "benign", M: "malignant" }],
    columns: nuclei,
  },
  titanic: {
    name: "Titanic",
    source:
      "Passengers of the Titanic, and who survived; the training file of Kaggle. Unknown ages are given as 29.",
    target: ["Survived", "", noYes],
    columns: {
      Pclass: ["Class", "", { 1: "first", 2: "second", 3: "third" }],
      Sex: ["Sex", "", { 0: "male", 1: "female" }],
      Age: ["Age", "years"],
      SibSp: ["Brothers, sisters, spouse aboard"],
      Parch: ["Parents, children aboard"],
      Fare: ["Fare", "pounds"],
    },
  },
  mpg: {
    name: "Car mileage",
    source: "Cars of the model years 1970 to 1982; Quinlan 1993, UCI.",
    target: ["Mileage", "miles per gallon"],
    columns: {
      cylinders: ["Cylinders"],
      displacement: ["Displacement", "cubic inches"],
      horsepower: ["Power", "hp"],
      weight: ["Weight", "pounds"],
      acceleration: ["From 0 to 60 mph", "seconds"],
      model_year: ["Model year", "19.."],
    },
  },
  housing: {
    name: "California homes",
    source:
      "Districts of California in the census of 1990; Pace and Barry 1997. Values above 500,000 dollars are given as that.",
    target: ["Median home value", "dollars"],
    columns: {
      longitude: ["Longitude", "degrees"],
      latitude: ["Latitude", "degrees"],
      housing_median_age: ["Median age of homes", "years"],
      total_rooms: ["Rooms in the district"],
      total_bedrooms: ["Bedrooms in the district"],
      population: ["People in the district"],
      households: ["Households in the district"],
      median_income: ["Median income", "10,000 dollars a year"],
    },
  },
};

/** The words of a column; of one that has none, its own name with spaces. */
export function columnWords(set: SetWords | null, name: string): ColumnWords {
  return set?.columns[name] ?? [name.replaceAll("_", " ")];
}

/** A class or a coded value in words. */
export function valueWords([, , values]: ColumnWords, value: string | number): string {
  return values?.[String(value)] ?? String(value);
}

/** A sentence of the library without what only the command knows: its flags, and other programs. */
export function withoutFlags(text: string): string {
  const foreign = / --[a-z]|^convert it, for example with iconv/;
  const plain = text.replaceAll(/ \([^()]* ?--[a-z][^()]*\)/g, "").split("; ");
  const first = plain.findIndex((clause) => foreign.test(` ${clause}`) || foreign.test(clause));
  return (first > 0 ? plain.slice(0, first) : plain).join("; ");
}
